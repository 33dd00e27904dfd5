//! The project's own templates and matrix, and edited copies of them.
