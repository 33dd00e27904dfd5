//! Access keys of a session.

/// Access keys of a session. They are never printed: there is no `Debug`.
#[derive(Clone)]
pub(crate) struct Keys {
    /// The access key id.
    pub(crate) id: String,
    /// The secret.
    pub(crate) secret: String,
    /// The session token.
    pub(crate) token: Option<String>,
}
