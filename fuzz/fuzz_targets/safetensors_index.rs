#![no_main]

kiln_fuzz::target!(safetensors_index);
