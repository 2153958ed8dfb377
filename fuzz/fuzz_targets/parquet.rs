#![no_main]

kiln_fuzz::target!(parquet);
