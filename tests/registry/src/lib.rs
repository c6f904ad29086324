//! A registry server of our own, on loopback.
