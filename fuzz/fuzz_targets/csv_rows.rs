#![no_main]

kiln_fuzz::target!(csv_rows);
