#![no_main]

kiln_fuzz::target!(tokenizer_folder);
