//! What many clients at once may see.
