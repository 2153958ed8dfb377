#![no_main]

kiln_fuzz::target!(modules);
