//! Written by the data plane.
