//! Scratch: runs the default recipe for a few steps.
use kiln_train::{
    Recipe,
    metrics::Row,
    run::{self, Host, News, Watch},
};
use std::sync::atomic::AtomicBool;
struct W;
impl Watch for W {
    fn tell(&mut self, n: News) {
        match n {
            News::Row(Row::Step(s)) => {
                println!("{} {:.4} {:.3} {:.2}s tok {}", s.step, s.loss, s.gradient_norm, s.seconds, s.tokens)
            }
            News::Row(r) => println!("{r:?}"),
            n => println!("{n:?}"),
        }
    }
}
#[global_allocator]
static A: kiln_kernels::allocator::MiMalloc = kiln_kernels::allocator::MiMalloc;
fn main() {
    kiln_kernels::allocator::keep_pages();
    let a: Vec<String> = std::env::args().skip(1).collect();
    let text = if a[0] == "-" { String::new() } else { std::fs::read_to_string(&a[0]).unwrap() };
    let r = Recipe::load(&text, None, &a[2..], &|_, _| unreachable!()).unwrap_or_else(|e| panic!("{e:?}"));
    let stop = AtomicBool::new(false);
    let o = run::start(
        &r,
        Some(std::path::Path::new(&a[1])),
        Host { device: burn::tensor::Device::flex(), stop: &stop, watch: &mut W },
    );
    println!("{o:?}");
}
