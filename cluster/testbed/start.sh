#!/usr/bin/env bash
# Run a real SLURM on this machine alone: one controller and four virtual nodes of 4 cores and 4000 MB, on loopback only.
#
#   sudo cluster/testbed/start.sh      then: neq run CONFIG --cluster testbed
#   sudo cluster/testbed/stop.sh
#
# Needs root on Debian or Ubuntu; installs munge and SLURM on first use (about 15 s). Where it runs already it only says
# so. The last line of output names the configuration: where /etc/slurm/slurm.conf belongs to somebody else, export it.
# Everything lies in $NEQ_TESTBED (/var/tmp/neq-testbed); the controller's port is $NEQ_TESTBED_PORT (17600), nodes follow.
set -euo pipefail

state=${NEQ_TESTBED:-/var/tmp/neq-testbed}
port=${NEQ_TESTBED_PORT:-17600}
# the kernel's control groups bear the names of nodes, and jobs of two testbeds the same numbers: with equal names one
# testbed would end the processes of the other's jobs
prefix=n
[[ $port == 17600 ]] || prefix=n$port-
nodes=("$prefix"{1..4})
machine=$(hostname -s)
export SLURM_CONF=$state/etc/slurm.conf

fail() { echo "testbed: $*" >&2; exit 1; }

# Whether the program that a pid file names still runs; the number alone may be another program's by now.
runs() { [[ -s $1 ]] && grep -qs "$2" "/proc/$(<"$1")/cmdline"; }

all_run() {
    runs "$state/run/slurmctld.pid" slurmctld || return 1
    for node in "${nodes[@]}"; do runs "$state/run/slurmd.$node.pid" slurmd || return 1; done
}

n_ready() { sinfo --noheader --Node --partition=normal --states=idle,alloc,mix --format=%N 2>/dev/null | sort -u | wc -l; }

install_slurm() {
    local missing=() program
    for program in munge:munged slurmctld:slurmctld slurmd:slurmd slurm-client:sbatch; do
        command -v "${program#*:}" >/dev/null || missing+=("${program%:*}")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || fail "no SLURM and no apt-get here: install ${missing[*]} yourself, then start again."
    echo "testbed: installing ${missing[*]}"
    # a package must not start its daemon, which would find no configuration
    local policy=/usr/sbin/policy-rc.d ours=0 log
    [[ -e $policy ]] || { ours=1; printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; }
    log=$(mktemp)
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes)
    "${get[@]}" install --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
        { "${get[@]}" update >>"$log" 2>&1 && "${get[@]}" install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; } ||
        { tail -20 "$log" >&2; ((ours)) && rm -f "$policy"; fail "apt-get cannot install ${missing[*]}: see above."; }
    ((ours)) && rm -f "$policy"
    rm -f "$log"
}

start_munge() {
    local owned=(install -d -o munge -g munge)
    "${owned[@]}" -m 755 /run/munge
    "${owned[@]}" -m 700 /var/log/munge
    "${owned[@]}" -m 711 /var/lib/munge
    mkdir -p /etc/munge
    [[ -s /etc/munge/munge.key ]] || head -c 256 /dev/urandom >/etc/munge/munge.key
    chown munge:munge /etc/munge /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
    runs /run/munge/munged.pid munged && return
    # one that was killed leaves its pid behind, and the wait below would end at once
    rm -f /run/munge/munged.pid
    setpriv --reuid=munge --regid=munge --clear-groups munged --force
    # only what was started here is stopped by stop.sh
    for _ in {1..50}; do [[ -s /run/munge/munged.pid ]] && break; sleep 0.1; done
    cp /run/munge/munged.pid "$state/run/munged.pid"
}

# Real memory limits, so that a job ends as OUT_OF_MEMORY, need version 1 control groups that may be written.
has_cgroups() { grep -q '^cgroup /sys/fs/cgroup/memory .*rw' /proc/mounts && [[ -d /sys/fs/cgroup/freezer ]]; }

write_configuration() {
    {
        cat <<CONF
ClusterName=neq
SlurmctldHost=$machine(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$state/state
SlurmdSpoolDir=$state/spool/%n
SlurmctldPidFile=$state/run/slurmctld.pid
SlurmdPidFile=$state/run/slurmd.%n.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdLogFile=$state/log/slurmd.%n.log
# loopback only
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CryptoType=crypto/munge
# a requeued job may begin again only after credentials of its first life have expired
AuthInfo=cred_expire=10
MpiDefault=none
# more cores and memory than the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=200
# decide every few seconds rather than every minute
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=3,sched_interval=3,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
InactiveLimit=0
KillWait=5
SlurmctldTimeout=30
SlurmdTimeout=15
ReturnToService=2
# ended jobs stay visible for an hour
MinJobAge=3600
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$state/log/jobcomp.txt
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
CONF
        if has_cgroups; then
            printf '%s\n' ProctrackType=proctrack/cgroup TaskPlugin=task/cgroup
        else
            printf '%s\n' ProctrackType=proctrack/linuxproc TaskPlugin=task/none JobAcctGatherParams=OverMemoryKill
        fi
        for index in "${!nodes[@]}"; do
            echo "NodeName=${nodes[index]} NodeHostname=$machine NodeAddr=127.0.0.1 Port=$((port + 1 + index)) CPUs=4 RealMemory=4000"
        done
        cat <<CONF
PartitionName=normal Nodes=ALL Default=YES MaxTime=1-00:00:00 DefaultTime=00:30:00 PriorityTier=10 PreemptMode=OFF
PartitionName=short Nodes=ALL MaxTime=00:10:00 DefaultTime=00:02:00 PriorityTier=10 PreemptMode=OFF
PartitionName=scavenge Nodes=ALL MaxTime=1-00:00:00 DefaultTime=00:30:00 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=spot Nodes=ALL MaxTime=1-00:00:00 DefaultTime=00:30:00 PriorityTier=1 PreemptMode=CANCEL
PartitionName=down Nodes=ALL MaxTime=00:10:00 State=INACTIVE
CONF
    } >"$SLURM_CONF"
    printf '%s\n' CgroupMountpoint=/sys/fs/cgroup ConstrainCores=no ConstrainRAMSpace=yes ConstrainSwapSpace=yes >"$state/etc/cgroup.conf"
}

# SLURM's commands read /etc/slurm/slurm.conf unless told otherwise; a file that somebody else put there stays.
link_configuration() {
    mkdir -p /etc/slurm
    [[ -e /etc/slurm/slurm.conf ]] || ln -sfn "$SLURM_CONF" /etc/slurm/slurm.conf
}

# A daemon that cannot start says why in its log alone.
start_daemons() {
    local node
    runs "$state/run/slurmctld.pid" slurmctld || slurmctld -f "$SLURM_CONF" || died slurmctld
    for node in "${nodes[@]}"; do
        mkdir -p "$state/spool/$node"
        runs "$state/run/slurmd.$node.pid" slurmd || slurmd -N "$node" -f "$SLURM_CONF" || died "slurmd.$node"
    done
}

died() {
    tail -n 5 "$state/log/$1.log" >&2
    fail "$1 does not start: see above, and $state/log."
}

wait_for_nodes() {
    for _ in {1..150}; do
        (($(n_ready) >= ${#nodes[@]})) && return
        sleep 0.2
    done
    tail -n 5 "$state"/log/*.log >&2
    fail "only $(n_ready) of ${#nodes[@]} nodes are up after 30 s: see $state/log."
}

[[ $(id -u) == 0 ]] || fail "needs root: give the command with sudo."
if all_run && (($(n_ready) >= ${#nodes[@]})); then
    echo "testbed: runs already"
else
    install_slurm
    mkdir -p "$state"/{etc,log,run,spool,state}
    chmod 755 "$state"
    start_munge
    # what runs keeps the configuration it has
    runs "$state/run/slurmctld.pid" slurmctld || write_configuration
    link_configuration
    start_daemons
    wait_for_nodes
    echo "testbed: ${#nodes[@]} nodes are up"
fi
if [[ ! /etc/slurm/slurm.conf -ef $SLURM_CONF ]]; then
    echo "testbed: /etc/slurm/slurm.conf is another SLURM's: give this first, in each shell that is to use the testbed:"
    echo "  export SLURM_CONF=$SLURM_CONF"
fi
echo "SLURM_CONF=$SLURM_CONF"
