#![no_main]

kiln_fuzz::target!(json_rows);
