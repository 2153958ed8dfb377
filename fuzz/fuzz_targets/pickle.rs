#![no_main]

kiln_fuzz::target!(pickle);
