#!/bin/sh
# Runs genvm-linter's static checks over every deployable contract; it takes one file at a time.
# Usage: tools/lint_contracts.sh PATH-TO-genvm-lint

status=0
count=0
for contract in contracts/*.py contracts/examples/*.py; do
    [ -e "$contract" ] || continue
    count=$((count + 1))
    report=$("$1" lint "$contract" 2>&1) || { printf '%s\n%s\n' "$contract" "$report" >&2; status=1; }
done
[ $status -eq 0 ] && echo "genvm-lint: $count contracts clean"
exit $status
