use serde_json::Value;

use super::*;

fn reference() -> Value {
    serde_json::from_str(include_str!("../../../kiln-laws/fixtures/schedules.json")).unwrap()
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
}

/// The schedule with the arguments of a `transformers` schedule.
fn same_as(name: &str, arguments: &Value) -> ScheduleConfig {
    let warmup = StepsOrFraction::Steps(arguments["num_warmup_steps"].as_u64().unwrap());
    match name {
        "cosine" => ScheduleConfig::Cosine(Cosine {
            learning_rate: 1.0,
            warmup,
            min_lr_ratio: Some(arguments["min_lr_rate"].as_f64().unwrap()),
            ..Cosine::default()
        }),
        "linear" => ScheduleConfig::Linear(Linear { learning_rate: 1.0, warmup, ..Linear::default() }),
        "wsd" => {
            assert_eq!(arguments["decay_type"], "linear");
            let decay = StepsOrFraction::Steps(arguments["num_decay_steps"].as_u64().unwrap());
            ScheduleConfig::Wsd(Wsd { learning_rate: 1.0, warmup, decay, ..Wsd::default() })
        }
        other => panic!("no schedule for {other}"),
    }
}

#[test]
fn learning_rates_are_those_of_transformers() {
    let reference = reference();
    let schedules = reference["schedules"].as_object().unwrap();
    assert_eq!(schedules.keys().collect::<Vec<_>>(), ["cosine", "linear", "wsd"]);
    for (name, entry) in schedules {
        let schedule = same_as(name, &entry["arguments"]);
        let steps = entry["arguments"]["num_training_steps"].as_u64().unwrap();
        let factors = entry["factors"].as_array().unwrap();
        assert!(factors.len() as u64 > steps);
        for (step, factor) in factors.iter().enumerate() {
            close(schedule.learning_rate(step as u64, steps), factor.as_f64().unwrap());
        }
    }
}

#[test]
fn the_learning_rate_never_rises_after_the_warmup() {
    for name in ScheduleConfig::NAMES {
        let schedule: ScheduleConfig = serde_json::from_value((*name).into()).unwrap();
        for steps in [1, 2, 7, 40, 1000] {
            let warmup = DEFAULT_WARMUP.to_steps(steps);
            let rates: Vec<_> = (warmup..3 * steps).map(|step| schedule.learning_rate(step, steps)).collect();
            assert!(rates.windows(2).all(|pair| pair[1] <= pair[0]), "{name} of {steps} steps");
            assert!(rates.iter().all(|rate| (0.0..=DEFAULT_LEARNING_RATE).contains(rate)), "{name} of {steps} steps");
            assert_eq!(rates[0], DEFAULT_LEARNING_RATE, "{name} of {steps} steps");
        }
    }
}

#[test]
fn a_fraction_scales_with_the_stage_and_steps_do_not() {
    let share = ScheduleConfig::Wsd(Wsd { learning_rate: 2.0, min_lr_ratio: Some(0.5), ..Wsd::default() });
    close(share.learning_rate(25, 1000), 1.0);
    close(share.learning_rate(1, 40), 1.0);
    close(share.learning_rate(800, 1000), 2.0);
    close(share.learning_rate(36, 40), 1.5);
    close(share.learning_rate(40, 40), 1.0);
    let fixed = ScheduleConfig::Constant(Constant { learning_rate: 2.0, warmup: StepsOrFraction::Steps(10) });
    close(fixed.learning_rate(5, 1000), 1.0);
    close(fixed.learning_rate(5, 40), 1.0);
    close(fixed.learning_rate(90, 40), 2.0);
}

#[test]
fn a_whole_number_is_steps_and_a_number_with_a_point_a_fraction() {
    let read = |text: &str| toml::from_str::<Constant>(text);
    assert_eq!(read("warmup = 1").unwrap().warmup, StepsOrFraction::Steps(1));
    assert_eq!(read("warmup = 1.0").unwrap().warmup, StepsOrFraction::Fraction(1.0));
    for length in [
        StepsOrFraction::Steps(0),
        StepsOrFraction::Steps(7),
        StepsOrFraction::Fraction(0.0),
        StepsOrFraction::Fraction(0.125),
        StepsOrFraction::Fraction(1.0),
    ] {
        let config = Constant { warmup: length, ..Constant::default() };
        assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
        assert_eq!(serde_json::from_str::<Constant>(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }
    for wrong in ["-1", "1.5", "-0.1", "nan", "\"many\"", "[1]"] {
        let message = read(&format!("warmup = {wrong}")).unwrap_err().to_string();
        assert!(message.contains("a fraction of the stage from 0.0 to 1.0"), "{message}");
    }
}

/// The error of a schedule in JSON: path and reason.
fn check(text: &str, steps: u64) -> Result<(), (String, String)> {
    let schedule: ScheduleConfig = serde_json::from_str(text).unwrap();
    schedule.check("stages[0].schedule", steps).map_err(|error| (error.path, error.reason))
}

#[test]
fn invalid_options_are_refused_at_their_key() {
    let cases = [
        (r#"{ "cosine": { "learning_rate": 0.0 } }"#, 100, "cosine.learning_rate", "found 0"),
        (r#"{ "cosine": { "learning_rate": -1e-3 } }"#, 100, "cosine.learning_rate", "found -0.001"),
        (r#"{ "linear": { "min_lr_ratio": 1.5 } }"#, 100, "linear.min_lr_ratio", "found 1.5"),
        (r#"{ "linear": { "warmup": 101 } }"#, 100, "linear.warmup", "101 steps do not fit into a stage of 100"),
        (r#"{ "wsd": { "warmup": 10, "decay": 91 } }"#, 100, "wsd.decay", "101 steps with the warmup before it"),
        (r#"{ "linear": { "min_learning_rate": 2e-3 } }"#, 100, "linear.min_learning_rate", "found 0.002"),
        (
            r#"{ "wsd": { "min_learning_rate": 0, "min_lr_ratio": 0 } }"#,
            100,
            "wsd.min_learning_rate",
            "exclude each other",
        ),
        (r#"{ "wsd": { "warmup": 200, "decay": 1 } }"#, 100, "wsd.warmup", "do not fit"),
    ];
    for (text, steps, key, reason) in cases {
        let (path, found) = check(text, steps).unwrap_err();
        assert_eq!(path, format!("stages[0].schedule.{key}"));
        assert!(found.contains(reason), "{found}");
    }
    assert_eq!(check(r#"{ "linear": { "warmup": 100 } }"#, 100), Ok(()));
    for name in ScheduleConfig::NAMES {
        assert_eq!(check(&format!("{name:?}"), 1), Ok(()), "{name}");
    }
}

#[test]
fn an_absolute_minimum_is_a_ratio_of_the_learning_rate() {
    let absolute = Cosine { learning_rate: 3e-3, min_learning_rate: Some(6e-5), ..Cosine::default() };
    let ratio = Cosine { learning_rate: 3e-3, min_lr_ratio: Some(0.02), ..Cosine::default() };
    for step in 0..=200 {
        let rates = [&absolute, &ratio].map(|config| ScheduleConfig::Cosine(config.clone()).learning_rate(step, 200));
        close(rates[0], rates[1]);
    }
}

#[test]
fn resolving_writes_the_default_minimum_only_where_none_is_given() {
    let resolved = |config: Cosine| {
        let mut schedule = ScheduleConfig::Cosine(config);
        schedule.resolve();
        serde_json::to_value(schedule).unwrap()["cosine"].clone()
    };
    assert_eq!(resolved(Cosine::default())["min_lr_ratio"], 0.1);
    assert_eq!(resolved(Cosine { min_lr_ratio: Some(0.3), ..Cosine::default() })["min_lr_ratio"], 0.3);
    let absolute = resolved(Cosine { min_learning_rate: Some(1e-4), ..Cosine::default() });
    assert_eq!((&absolute["min_lr_ratio"], &absolute["min_learning_rate"]), (&Value::Null, &1e-4.into()));
}
