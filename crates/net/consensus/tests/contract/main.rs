//! What a host promises: to one node alone, to three that lose messages, and after crashes.

mod chaos;
mod cluster;
mod full;
mod members;
mod single;
mod world;
