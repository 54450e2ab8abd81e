//! Signing in at an OpenID provider.

use super::*;

#[test]
fn who_signs_in_at_a_provider_is_told_whole() {
    let place = Place::new("config-sign-in");
    fs::write(place.0.join("secret"), "planted\n").unwrap();
    let with = |lines: &str| {
        format!(
            "{}\n[admin.oidc]\nissuer = \"https://id.example.com/realms/a\"\naudience = \"https://proxy\"\nworkloads = \"*\"\n\
             roles = {{ admin = [\"leads\"] }}\n[admin.oidc.sign_in]\n{lines}",
            place.good()
        )
    };
    let config =
        place.parse(&with("client_id = \"web\"\npublic_url = \"https://Proxy.example:443\"\n")).unwrap();
    let sign_in = config.admin.oidc.unwrap().sign_in.unwrap();
    assert_eq!(sign_in.redirect_uri(), "https://proxy.example/ui/sign-in/callback");
    assert_eq!((sign_in.name.as_str(), sign_in.client_secret.is_none()), ("id.example.com", true));

    let more = "client_id = \"web\"\npublic_url = \"https://p\"\nclient_secret_file = \"secret\"\nscopes = [\"groups\"]\nname = \"SSO\"\n";
    let config = place.parse(&with(more)).unwrap();
    assert!(!format!("{config:?}").contains("planted"));
    let sign_in = config.admin.oidc.unwrap().sign_in.unwrap();
    assert_eq!((sign_in.name.as_str(), sign_in.scopes.as_slice()), ("SSO", &["groups".to_owned()][..]));

    let words = |lines: &str| {
        let mistakes = place.mistakes(&with(lines));
        let place = |mistake: String| mistake.split_once(": ").unwrap().1.to_owned();
        mistakes.into_iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(
        words("client_secret = \"planted\"\n"),
        [
            "admin.oidc.sign_in.client_id: missing; this proxy's name at the provider",
            "admin.oidc.sign_in.public_url: missing; where browsers find this proxy's page, as \"https://proxy.example.com:9443\"",
            "admin.oidc.sign_in.client_secret: unknown field; did you mean \"client_secret_file\"?",
        ]
    );
    fs::write(place.0.join("secret"), "plan\tted").unwrap();
    assert_eq!(
        words(
            "client_id = \"web\"\npublic_url = \"http://p\"\nclient_secret_file = \"secret\"\nscopes = [\"a b\"]\n"
        ),
        [
            "admin.oidc.sign_in.public_url: expected https://, a host and perhaps a port, without a path; found \"http://p\"",
            "admin.oidc.sign_in.client_secret_file: expected a file with a secret of 1 to 1024 printable characters",
            "admin.oidc.sign_in.scopes: expected one word for each scope, as \"profile\"",
        ]
    );
}
