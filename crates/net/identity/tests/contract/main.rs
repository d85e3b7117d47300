//! The contract of member identities: who is let in, who is not, and how certificates change while connections stand.

#![allow(clippy::unwrap_used)]

mod admits;
mod authority;
mod fixture;
mod noise;
mod opens;
mod rotates;
