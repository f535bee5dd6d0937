# `make demo` and `make test` are all that a fresh clone needs: both install what is missing.
.PHONY: demo test fmt lint soak cgroup2 docs

demo:
	@scripts/install-packages.sh build
	cargo build --release --locked
	target/release/atelier demo

test:
	@scripts/test.sh

fmt:
	cargo fmt --all

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --features conformance-fixtures -- -D warnings

# Ten thousand runs of code, every operation of every public API description, then every test twenty times and properties with a hundred times the
# cases; takes hours.
soak:
	ATELIER_TEST_PDFS=1000 cargo nextest run --locked --features conformance-fixtures --test it \
		--no-capture -E 'test(many_documents_leave_no_trace)'
	cargo nextest run --locked --features conformance-fixtures --test it --run-ignored only \
		--no-capture -E 'test(sandbox::soak::)'
	cargo nextest run --locked --features conformance-fixtures --test it --run-ignored only \
		--no-capture -E 'test(factory_corpus::)'
	PROPTEST_CASES=25600 cargo nextest run --workspace --locked --features conformance-fixtures --stress-count 20

# The sandbox's tests on control groups of version 2, for machines that have version 1; as root.
cgroup2:
	scripts/cgroup2.sh

docs:
	cargo build --workspace --locked
	cargo xtask docs
