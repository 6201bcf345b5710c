//! `schemas/` is generated; here it is compared with what the sources say today.

use std::fs;
use std::path::Path;

use springline::wire::cni::Config;

#[test]
fn the_checked_in_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/network.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Config)).expect("a schema is JSON") + "\n";
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &schema).expect("write the schema");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == schema, "schemas/network.schema.json is outdated: UPDATE_SCHEMAS=1 cargo test --test schema");
}
