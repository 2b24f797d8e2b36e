#!/usr/bin/env bash
# Stop the SLURM that start.sh runs: its jobs first, then its daemons and no others.
#
#   sudo cluster/testbed/stop.sh [--purge]      --purge: remove its files too; the packages stay
set -euo pipefail

state=${NEQ_TESTBED:-/var/tmp/neq-testbed}
export SLURM_CONF=$state/etc/slurm.conf

# End the program of a pid file, if it is still the one that was started.
stop() {
    local pid
    [[ -s $1 ]] || return 0
    pid=$(<"$1")
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "$2"; then
        kill "$pid"
        for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
    fi
    rm -f "$1"
}

cancel_jobs() {
    local jobs
    jobs=$(timeout 5 squeue --noheader --format=%A 2>/dev/null | sort -u) || return 0
    [[ -n $jobs ]] || return 0
    # shellcheck disable=SC2086  # one argument for each job
    timeout 10 scancel --full $jobs 2>/dev/null || true
    for _ in {1..60}; do
        [[ -n $(timeout 5 squeue --noheader --format=%i 2>/dev/null) ]] || return 0
        sleep 0.2
    done
}

[[ $(id -u) == 0 ]] || { echo "testbed: needs root: give the command with sudo." >&2; exit 1; }
if [[ -s $state/run/slurmctld.pid ]]; then cancel_jobs; fi
for file in "$state"/run/slurmd.*.pid; do stop "$file" slurmd; done
stop "$state/run/slurmctld.pid" slurmctld
stop "$state/run/munged.pid" munged
if [[ ${1:-} == --purge ]]; then
    if [[ $(readlink /etc/slurm/slurm.conf 2>/dev/null) == "$SLURM_CONF" ]]; then rm -f /etc/slurm/slurm.conf; fi
    rm -rf "${state:?}"
fi
echo "testbed: stopped"
