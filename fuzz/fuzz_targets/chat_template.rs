#![no_main]

kiln_fuzz::target!(chat_template);
