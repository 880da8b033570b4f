//! One implementation of cryptography for every connection of a process.

/// Chooses ring; later calls change nothing.
pub fn choose_provider() {
    // It fails only where one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
