//! What a program under test does before it is the program: it dies as the real one dies, and never outlives its test.

use std::io::Read;

/// To be called first in `main`.
pub fn prepare() {
    die_of_panics();
    die_with_the_test();
}

/// Release builds abort at a panic. So do the programs under test: a fail point that panics is a crash, and nothing
/// that runs on the way down can tidy up.
fn die_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// The test holds the other end of standard input, and the kernel closes it however the test ends.
fn die_with_the_test() {
    std::thread::spawn(|| {
        let mut bytes = [0; 64];
        while std::io::stdin().read(&mut bytes).is_ok_and(|read| read > 0) {}
        std::process::abort();
    });
}
