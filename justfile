# Everything that CI does, and what takes longer.

# What the README promises: all tests.
test:
    cargo test

# What `.ci/run` does on a clean clone.
ci:
    bash .ci/run

lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Licences, advisories and sources of every dependency (cargo install cargo-deny).
deny:
    cargo deny check

# Five hundred launches in real time against the simulator: thirteen minutes.
budget:
    BUDGET_LAUNCHES=25 cargo test --test it budget_in_real_time -- --nocapture

bench:
    cargo bench

# 50,000 mixed calls over faults of every kind; prints its figures.
soak:
    SOAK_ROUNDS=25 cargo test --release --test it soak:: -- --nocapture

# The binary for release: fat LTO, stripped.
dist:
    cargo build --profile dist

# Rewrites what is generated from the manifests: manifest.schema.json and the README's tables.
generate:
    UPDATE_GENERATED=1 cargo test generated
