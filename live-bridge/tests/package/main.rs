//! Packages from a folder to a device, and everything that should be refused on the way.

mod hostile;
mod manifests;
mod metadata;
mod mutations;
mod publishing;
mod rotation;
mod round_trip;
mod world;
