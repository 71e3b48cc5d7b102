#[path = "signer_tests.rs"]
pub(crate) mod signer;

use proptest::prelude::*;
use serde_json::json;

use self::signer::{Signer, shared, unsigned};
use super::*;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://login.example";
const RESOURCE: &str = "https://mcp.example/mcp";

pub(crate) fn terms() -> Terms {
    Terms {
        issuer: ISSUER.into(),
        audience: RESOURCE.into(),
        algorithms: ALGORITHMS.to_vec(),
        email_claim: None,
        agent_claim: None,
    }
}

/// Sound claims with some others in their place; null takes one away.
pub(crate) fn claims(others: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "maria", "exp": NOW + 600, "scope": "openid ironclad:read",
        "email": "maria@example.com", "email_verified": true,
    });
    for (name, value) in others.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

pub(crate) fn keys(signers: &[&Signer]) -> Keys {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    Keys::read(&json!({"keys": keys})).unwrap()
}

fn checked(signer: &Signer, others: &Value) -> Result<Claims, TokenError> {
    check(&signer.token(&claims(others)), &keys(&[signer]), &terms(), NOW)
}

#[test]
fn a_sound_token_of_every_algorithm_is_taken_and_read() {
    for algorithm in ALGORITHMS {
        let name = format!("{algorithm:?}").leak();
        let signer = Signer::new("k", name);
        let expected = Claims {
            issuer: ISSUER.into(),
            subject: "maria".into(),
            email: Some("maria@example.com".into()),
            agents: None,
            access: Access::Read,
            expires: NOW + 600,
        };
        assert_eq!(checked(&signer, &json!({})), Ok(expected), "{name}");
        let only_others: Vec<Algorithm> = ALGORITHMS.into_iter().filter(|one| *one != algorithm).collect();
        let narrow = Terms { algorithms: only_others, ..terms() };
        let refused = check(&signer.token(&claims(&json!({}))), &keys(&[&signer]), &narrow, NOW);
        assert_eq!(refused, Err(TokenError::Algorithm), "{name}");
    }
}

#[test]
fn each_claim_is_checked() {
    let signer = Signer::new("k", "ES256");
    let table = [
        (json!({"iss": "https://evil.example"}), TokenError::Issuer),
        (json!({"iss": "https://login.example/"}), TokenError::Issuer),
        (json!({"iss": [ISSUER]}), TokenError::Issuer),
        (json!({"iss": null}), TokenError::Issuer),
        (json!({"aud": "https://other.example/mcp"}), TokenError::Audience),
        (json!({"aud": "https://mcp.example"}), TokenError::Audience),
        (json!({"aud": []}), TokenError::Audience),
        (json!({"aud": null}), TokenError::Audience),
        (json!({"aud": {"x": RESOURCE}}), TokenError::Audience),
        (json!({"exp": NOW - 30}), TokenError::Expired),
        (json!({"exp": 0}), TokenError::Expired),
        (json!({"exp": null}), TokenError::NoExpiry),
        (json!({"exp": "1900000000"}), TokenError::NoExpiry),
        (json!({"exp": -5}), TokenError::NoExpiry),
        (json!({"nbf": NOW + 31}), TokenError::NotYet),
        (json!({"nbf": "soon"}), TokenError::NotYet),
        (json!({"sub": null}), TokenError::NoSubject),
        (json!({"sub": ""}), TokenError::NoSubject),
        (json!({"sub": "a\nb"}), TokenError::NoSubject),
        (json!({"sub": "a".repeat(257)}), TokenError::NoSubject),
    ];
    for (others, expected) in table {
        assert_eq!(checked(&signer, &others), Err(expected), "{others}");
    }
    for others in [
        json!({"aud": ["https://other.example", RESOURCE]}),
        json!({"aud": "https://mcp.example/mcp/"}),
        json!({"exp": NOW - 29}),
        json!({"exp": 1_800_000_600.5}),
        json!({"nbf": NOW + 30}),
    ] {
        assert!(checked(&signer, &others).is_ok(), "{others}");
    }
}

#[test]
fn what_nobody_or_somebody_else_signed_is_refused() {
    let (signer, other) = (Signer::new("k", "RS256"), Signer::new("k", "RS256"));
    let claims = claims(&json!({}));
    let set = keys(&[&signer]);
    let refused = |token: &str| check(token, &set, &terms(), NOW).unwrap_err();
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        assert_eq!(refused(&unsigned(algorithm, "k", &claims)), TokenError::Algorithm, "{algorithm}");
    }
    let modulus = signer.jwk()["n"].as_str().unwrap().to_owned();
    for secret in [signer.public().as_slice(), modulus.as_bytes(), b""] {
        assert_eq!(refused(&shared("k", secret, &claims)), TokenError::Algorithm);
    }
    assert_eq!(refused(&other.token(&claims)), TokenError::Signature);
    assert_eq!(refused(&unsigned("RS256", "k", &claims)), TokenError::Signature);
    let unknown = Signer::new("other", "RS256").token(&claims);
    assert_eq!(refused(&unknown), TokenError::UnknownKey);
    // A key of another kind under the same name is no key for it.
    assert_eq!(refused(&Signer::new("k", "ES256").token(&claims)), TokenError::UnknownKey);
    // The token brings its own key.
    let own = json!({"alg": "RS256", "kid": "k", "jwk": other.jwk(), "jku": "https://evil.example/jwks"});
    assert_eq!(refused(&other.token_with(&own, &claims)), TokenError::Signature);
    let sound = signer.token(&claims);
    let (message, signature) = sound.rsplit_once('.').unwrap();
    let elsewhere = signer::message(&json!({"alg": "RS256", "kid": "k"}), &json!({"iss": ISSUER, "sub": "admin"}));
    assert_eq!(refused(&format!("{elsewhere}.{signature}")), TokenError::Signature);
    assert!(check(&format!("{message}.{signature}"), &set, &terms(), NOW).is_ok());
}

#[test]
fn a_shared_secret_in_the_key_set_is_no_key() {
    let set = json!({"keys": [{"kty": "oct", "kid": "k", "k": "c2VjcmV0"}, {"kty": "new", "kid": "k"}, 7]});
    let set = Keys::read(&set).unwrap();
    assert!(set.is_empty());
    let generous = Terms { algorithms: vec![Algorithm::HS256], ..terms() };
    let token = shared("k", b"secret", &claims(&json!({})));
    assert_eq!(check(&token, &set, &generous, NOW), Err(TokenError::Algorithm));
    for wrong in [json!({}), json!({"keys": {}}), json!([]), json!(null)] {
        assert!(Keys::read(&wrong).is_none(), "{wrong}");
    }
}

#[test]
fn a_key_is_used_for_what_it_is_published_for() {
    let signer = Signer::new("k", "RS256");
    let token = signer.token(&claims(&json!({})));
    for (member, value, fits) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["encrypt"]), false),
        ("alg", json!("RS256"), true),
        ("alg", json!("RS512"), false),
        ("alg", json!("RSA-OAEP"), false),
    ] {
        let mut jwk = signer.jwk();
        jwk[member] = value.clone();
        let set = Keys::read(&json!({"keys": [jwk]})).unwrap();
        assert_eq!(check(&token, &set, &terms(), NOW).is_ok(), fits, "{member} {value}");
    }
    // Without a name any key that fits will do.
    let nameless = signer.token_with(&json!({"alg": "RS256"}), &claims(&json!({})));
    let (other, ec) = (Signer::new("a", "RS256"), Signer::new("b", "ES256"));
    assert!(check(&nameless, &keys(&[&other, &ec, &signer]), &terms(), NOW).is_ok());
    assert_eq!(check(&nameless, &keys(&[&other, &ec]), &terms(), NOW), Err(TokenError::Signature));
    assert_eq!(check(&nameless, &keys(&[&ec]), &terms(), NOW), Err(TokenError::UnknownKey));
}

#[test]
fn tokens_of_other_kinds_are_refused() {
    let signer = Signer::new("k", "ES256");
    let set = keys(&[&signer]);
    for (head, fits) in [
        (json!({"typ": "at+jwt"}), true),
        (json!({"typ": "application/AT+JWT"}), true),
        (json!({"typ": "JWT"}), true),
        (json!({}), true),
        (json!({"typ": "logout+jwt"}), false),
        (json!({"typ": "dpop+jwt"}), false),
        (json!({"crit": ["b64"], "b64": false}), false),
    ] {
        let mut whole = json!({"alg": "ES256", "kid": "k"});
        whole.as_object_mut().unwrap().extend(head.as_object().unwrap().clone());
        let token = signer.token_with(&whole, &claims(&json!({})));
        let result = check(&token, &set, &terms(), NOW);
        assert_eq!(result.err(), (!fits).then_some(TokenError::Kind), "{head}");
    }
    for text in ["", "abc", "a.b.c", "eyJhbGciOiJSUzI1NiJ9", "..", "a.b.c.d", "é.é.é"] {
        assert_eq!(check(text, &set, &terms(), NOW), Err(TokenError::NoJwt), "{text}");
    }
    let long = signer.token(&claims(&json!({"x": "x".repeat(LONGEST)})));
    assert_eq!(check(&long, &set, &terms(), NOW), Err(TokenError::TooLong));
}

#[test]
fn an_address_counts_where_it_is_verified_or_vouched_for() {
    let signer = Signer::new("k", "ES256");
    let read = |named: Option<&str>, others: &Value| {
        let terms = Terms { email_claim: named.map(str::to_owned), ..terms() };
        check(&signer.token(&claims(others)), &keys(&[&signer]), &terms, NOW).unwrap().email
    };
    let maria = || Some("maria@example.com".to_owned());
    assert_eq!(read(None, &json!({})), maria());
    assert_eq!(read(None, &json!({"email_verified": "true"})), maria());
    assert_eq!(read(Some("email"), &json!({})), maria());
    for unverified in [json!(false), json!(null), json!("false"), json!(1), json!("yes")] {
        for named in [None, Some("email")] {
            assert_eq!(read(named, &json!({"email_verified": unverified.clone()})), None, "{named:?} {unverified}");
        }
    }
    let upn = json!({"upn": "mario@example.com", "email_verified": null});
    assert_eq!(read(Some("upn"), &upn).as_deref(), Some("mario@example.com"));
    assert_eq!(read(Some("upn"), &json!({})), None, "no other claim stands in");
    for wrong in
        ["maria", "@example.com", "maria@", "a@b@c", "a b@c.d", "a@b.c\r\nx-as-user-id: 1", "a@b.c,d@e.f", "ä@b.c"]
    {
        assert_eq!(read(None, &json!({"email": wrong})), None, "{wrong}");
    }
}

#[test]
fn scopes_and_agents_are_read_in_every_form() {
    let signer = Signer::new("k", "ES256");
    for (others, access) in [
        (json!({"scope": "ironclad:read"}), Access::Read),
        (json!({"scope": "ironclad:write"}), Access::Full),
        (json!({"scope": "ironclad:write ironclad:read"}), Access::Full),
        (json!({"scope": ["ironclad:read"]}), Access::Read),
        (json!({"scope": null, "scp": "a ironclad:read"}), Access::Read),
        (json!({"scope": "a", "scp": ["ironclad:write"]}), Access::Full),
        (json!({"scope": "ironclad ironclad:reads Ironclad:read xironclad:write ironclad:*"}), Access::Off),
        (json!({"scope": null}), Access::Off),
        (json!({"scope": 7}), Access::Off),
    ] {
        assert_eq!(checked(&signer, &others).unwrap().access, access, "{others}");
    }
    let named = Terms { agent_claim: Some("roles".into()), ..terms() };
    for (others, expected) in [
        (json!({}), None),
        (json!({"roles": "bot"}), Some(vec!["bot"])),
        (json!({"roles": ["a", 7, "b"]}), Some(vec!["a", "b"])),
        (json!({"roles": {}}), Some(vec![])),
    ] {
        let agents = check(&signer.token(&claims(&others)), &keys(&[&signer]), &named, NOW).unwrap().agents;
        assert_eq!(agents, expected.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>()), "{others}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_pass(text in ".{0,200}", head in "[A-Za-z0-9_-]{0,60}", rest in "[A-Za-z0-9_.-]{0,200}") {
        let signer = Signer::new("k", "ES256");
        let set = keys(&[&signer]);
        for token in [text, format!("{head}.{rest}"), format!("ey{head}.{head}.{rest}")] {
            prop_assert!(check(&token, &set, &terms(), NOW).is_err());
        }
    }

    #[test]
    fn a_token_with_any_letter_changed_is_refused(place in 0usize..2000, letter in "[A-Za-z0-9_-]") {
        let signer = Signer::new("k", "ES256");
        let token = signer.token(&claims(&json!({})));
        let place = place % token.len();
        let mut changed = token.clone();
        changed.replace_range(place..=place, &letter);
        prop_assume!(changed != token);
        // The last letter of base64 has bits that say nothing; a strict reader refuses them too.
        prop_assert!(check(&changed, &keys(&[&signer]), &terms(), NOW).is_err(), "{changed}");
    }
}
