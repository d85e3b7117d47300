//! Takes the options of a store from the variables that its other clients use too: `AWS_…`, `GOOGLE_…`, `AZURE_…`.

use std::collections::BTreeMap;

/// Words in the names of options that say who we are. They count together: a key from the settings and a session from
/// the environment do not belong to one another.
const WHO: [&str; 9] =
    ["access_key", "secret", "token", "role_", "credential", "client_id", "account_key", "sas_key", "skip_signature"];
/// Words in the names of options that the URL has said already.
const WHERE: [&str; 2] = ["bucket", "container_name"];

/// The options of a store, by its URL's scheme: those of the environment, and over them those of the settings. If the
/// settings say who we are, or where the store is, the environment is not asked for that at all. Among the variables
/// are those of workload identity (`AWS_ROLE_ARN` with `AWS_WEB_IDENTITY_TOKEN_FILE`, `AZURE_FEDERATED_TOKEN_FILE`) and
/// of containers (`AWS_CONTAINER_CREDENTIALS_…`). Names that the store does not know do nothing, as elsewhere.
pub fn merge(
    scheme: &str,
    variables: impl Iterator<Item = (String, String)>,
    settings: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let prefix = match scheme {
        "s3" | "s3a" => "AWS_",
        "gs" => "GOOGLE_",
        "az" | "azure" | "abfs" | "abfss" | "adl" => "AZURE_",
        _ => return settings.clone(),
    };
    let has = |name: &str, words: &[&str]| words.iter().any(|word| name.contains(word));
    let named = |words: &[&str]| settings.keys().any(|name| has(&name.to_ascii_lowercase(), words));
    let (who, endpoint) = (named(&WHO), named(&["endpoint"]));
    let mut options = BTreeMap::new();
    for (name, value) in variables.filter(|(name, _)| name.starts_with(prefix)) {
        let name = name.to_ascii_lowercase();
        let said = has(&name, &WHERE) || (who && has(&name, &WHO)) || (endpoint && has(&name, &["endpoint"]));
        // An empty variable is what templates leave behind: it says nothing.
        if !said && !value.is_empty() {
            options.insert(name, value);
        }
    }
    for (name, value) in settings {
        // One option may have two names: with the prefix and without.
        options.remove(&format!("{}{}", prefix.to_ascii_lowercase(), name.to_ascii_lowercase()));
        options.insert(name.clone(), value.clone());
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scheme: &str, variables: &[(&str, &str)], settings: &[(&str, &str)], want: &[(&str, &str)]) {
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        assert_eq!(merge(scheme, owned(variables).into_iter(), &owned(settings)), owned(want), "{variables:?}");
    }

    #[test]
    fn each_store_takes_its_own_variables() {
        let all = [
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_ENDPOINT_URL", ""),
            ("AWS_BUCKET", "another"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "g.json"),
            ("AZURE_CLIENT_ID", "c"),
            ("HOME", "/root"),
        ];
        check("s3", &all, &[], &[("aws_access_key_id", "a")]);
        check("gs", &all, &[], &[("google_application_credentials", "g.json")]);
        check("az", &all, &[], &[("azure_client_id", "c")]);
        check("http", &all, &[("x", "y")], &[("x", "y")]);
    }

    #[test]
    fn settings_come_first_and_are_not_mixed_with_others_keys() {
        let identity = [("AWS_ROLE_ARN", "r"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "f"), ("AWS_REGION", "here")];
        let want = [("aws_role_arn", "r"), ("aws_web_identity_token_file", "f"), ("region", "there")];
        check("s3", &identity, &[("region", "there")], &want);
        let keys = [("access_key_id", "k"), ("secret_access_key", "s")];
        let want = [("access_key_id", "k"), ("aws_region", "here"), ("secret_access_key", "s")];
        check("s3", &identity, &keys, &want);
        let endpoints = [("AWS_ENDPOINT_URL_S3", "https://a"), ("AWS_ALLOW_HTTP", "true")];
        let want = [("aws_allow_http", "true"), ("endpoint", "https://b")];
        check("s3", &endpoints, &[("endpoint", "https://b")], &want);
    }
}
