//! Whom the configuration knows, and what each may use: for pages that act for a principal without
//! a token of their own.

use std::collections::{BTreeMap, BTreeSet};

use super::auth::LOCAL_PRINCIPAL;
use crate::config::auth::AuthConfig;
use crate::registry::Rights;
use crate::storage::PrincipalId;

/// The principals of a configuration with their rights.
#[derive(Debug, Clone, Default)]
pub struct Principals {
    rights: BTreeMap<PrincipalId, Rights>,
}

impl Principals {
    /// Those of the configured tokens; without tokens, the machine's own user.
    pub fn new(config: &AuthConfig) -> Self {
        if config.tokens.is_empty() {
            return Self::with([(LOCAL_PRINCIPAL.into(), Rights::default())]);
        }
        let mut principals = Self::default();
        for token in &config.tokens {
            let toolsets: BTreeSet<String> = token.toolsets.iter().cloned().collect();
            let toolsets = (!toolsets.is_empty()).then_some(toolsets);
            let principal = PrincipalId(token.principal.clone());
            let rights = principals.rights.entry(principal.clone()).or_insert_with(|| Rights {
                toolsets: Some(BTreeSet::new()),
                ..Rights::of(principal)
            });
            // Of several tokens of one principal, what any of them may use.
            rights.toolsets = match (rights.toolsets.take(), toolsets) {
                (Some(mut earlier), Some(further)) => {
                    earlier.extend(further);
                    Some(earlier)
                }
                (None, _) | (_, None) => None,
            };
        }
        principals
    }

    /// These principals with these rights.
    pub fn with(rights: impl IntoIterator<Item = (PrincipalId, Rights)>) -> Self {
        let own = |(principal, rights): (PrincipalId, Rights)| {
            let rights = Rights { principal: Some(principal.clone()), ..rights };
            (principal, rights)
        };
        Self { rights: rights.into_iter().map(own).collect() }
    }

    /// What a principal may use; `None` when the configuration does not know it.
    pub fn rights(&self, principal: &PrincipalId) -> Option<&Rights> {
        self.rights.get(principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::auth::TokenConfig;

    fn token(principal: &str, toolsets: &[&str]) -> TokenConfig {
        TokenConfig {
            principal: principal.to_owned(),
            sha256: String::new(),
            toolsets: toolsets.iter().map(|set| (*set).to_owned()).collect(),
        }
    }

    #[test]
    fn without_tokens_there_is_the_local_user_alone() {
        let principals = Principals::new(&AuthConfig::default());
        assert!(principals.rights(&"local".into()).unwrap().toolsets.is_none());
        assert!(principals.rights(&"ana".into()).is_none());
    }

    #[test]
    fn rights_of_several_tokens_add_up() {
        let tokens = vec![
            token("ana", &["documents"]),
            token("ana", &["agent"]),
            token("bob", &["documents"]),
            token("bob", &[]),
        ];
        let principals = Principals::new(&AuthConfig { tokens });
        let ana = principals.rights(&"ana".into()).unwrap().toolsets.clone().unwrap();
        assert_eq!(ana.into_iter().collect::<Vec<_>>(), ["agent", "documents"]);
        assert!(principals.rights(&"bob".into()).unwrap().toolsets.is_none());
        assert!(principals.rights(&"local".into()).is_none());
    }
}
