//! Files as people hand them in, mistakes and damage included.

mod bad_files;
mod bodies;
mod mutate;
mod survives;
