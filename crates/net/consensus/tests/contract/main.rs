//! What a host promises: to one node alone, to three that lose messages, and after crashes.

mod chaos;
mod cluster;
mod cuts;
mod full;
mod keep;
mod members;
mod removal;
mod single;
mod world;
