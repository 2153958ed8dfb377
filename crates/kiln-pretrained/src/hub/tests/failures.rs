//! Interrupted, damaged and refused downloads.

use super::*;

#[test]
fn interrupted_downloads_resume() {
    for whole in [false, true] {
        let place = test_hub(ServedModel { cut_after: vec![100_000, 200_000], ignores_ranges: whole, ..model(&PLAIN) });
        let folder = place.get("owner/model").unwrap();
        assert_eq!(
            fs::read(folder.join("model.safetensors")).unwrap(),
            place.server.model.lock().unwrap().files["model.safetensors"]
        );
        assert_eq!(place.server.requests().iter().filter(|request| request.1.starts_with("/storage/")).count(), 3);
    }
    let place = test_hub(ServedModel { cut_after: vec![100_000; 4], ..model(&PLAIN) });
    let Err(HubError::Interrupted { received: have, .. }) = place.get("owner/model") else {
        panic!("it never came further")
    };
    assert_eq!(have, 100_000);
    assert!(!place.cached_files().contains(&"model.safetensors".into()));
    place.get("owner/model").unwrap();
    assert_eq!(place.cached_files(), PLAIN);
}

#[test]
fn downloads_with_a_wrong_hash_are_refused() {
    let place = test_hub(ServedModel { etag: Some("0".repeat(64)), ..model(&PLAIN) });
    assert!(matches!(place.get("owner/model"), Err(HubError::HashMismatch { .. })));
    assert!(place.cached_files().is_empty());
    for etag in ["../../../../escaped", "", "a/b", ".."] {
        place.server.model.lock().unwrap().etag = Some(etag.into());
        assert!(matches!(place.get("owner/model"), Err(HubError::BadResponse { .. })), "{etag}");
    }
}

#[test]
fn names_in_a_list_stay_below_the_folder() {
    for name in ["../x.json", "/etc/x.json", "a/../../x.json", "a\\..\\x.json", "C:x.json", "a//b", "", "a/./b"] {
        let place =
            test_hub(ServedModel { listed_files: Some(vec!["config.json".into(), name.into()]), ..model(&PLAIN) });
        assert!(matches!(place.get("owner/model"), Err(HubError::UnsafePath { .. })), "{name}");
        assert!(!place.folder.path().join("hub").exists());
    }
}

#[test]
fn the_access_token_is_sent_to_the_hub_only() {
    let mut place = test_hub(ServedModel { token: Some("secret".into()), ..model(&PLAIN) });
    let Err(error) = place.get("owner/model") else { panic!("without a token") };
    assert!(matches!(error, HubError::Unauthorized { status: 401, .. }) && error.to_string().contains("HF_TOKEN"));
    place.hub.token = Some("secret".into());
    place.get("owner/model").unwrap();
    let log = place.server.requests();
    assert!(log.iter().any(|request| request.1.starts_with("/storage/")));
    for (_, path, token) in &log[1..] {
        assert_eq!(*token, !path.starts_with("/storage/"), "{path}");
    }
}

#[test]
fn missing_models_and_revisions_are_errors() {
    let place = test_hub(model(&PLAIN));
    let Err(error) = place.get("owner/other") else { panic!("no such model") };
    assert!(error.to_string().contains("owner/other") && error.to_string().contains("status 404"), "{error}");
    let id = ModelId::parse("owner/model").unwrap();
    let Err(error) = place.hub.fetch_model(&id, "v2/beta", &mut |_| {}) else { panic!("no such revision") };
    assert!(error.to_string().contains("`v2/beta`"), "{error}");
    for revision in ["../main", "/main", "a..b", "", "a b"] {
        assert!(
            matches!(place.hub.fetch_model(&id, revision, &mut |_| {}), Err(HubError::InvalidRevision(_))),
            "{revision}"
        );
    }
}
