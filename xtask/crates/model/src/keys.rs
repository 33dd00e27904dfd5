//! Access keys of a session.

/// Access keys of a session. They are never printed: there is no `Debug`.
#[derive(Clone)]
pub struct Keys {
    /// The access key id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// The session token.
    pub token: Option<String>,
}
