#![no_main]

kiln_fuzz::target!(data_file);
