#!/bin/bash
# The first process of the machine that a cluster runs on: in mount, PID, IPC, UTS and network namespaces of its own, so
# that all it makes ends with it. Arguments: the root file system, the folder of its data, the name of its cgroup, then
# what to bind (source target)...
#
# It makes a network and a root of its own, the certificates where there are none, and then starts what
# /var/config/components.sh says, each anew when it ends.
set -eu
root=$1 data=$2 cgroup=$3
shift 3

# --- Mounts. Nothing of this is seen outside: the namespace is private.
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
# A sysfs of this network namespace hides the cgroups of the machine, which the kubelet and runc work with.
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$data"/{config,pki,log,lib/kubelet,lib/containerd,lib/etcd}
mount --bind "$data" "$root/var"
while [ $# -gt 0 ]; do
  mount --bind "$1" "$root/$2"
  shift 2
done
cd "$root"
pivot_root . mnt
cd /
umount -l /mnt
# Volumes that the kubelet mounts must reach the containers.
mount --make-rshared /
ln -sfn ../run /var/run

# --- Network: the nodes' addresses and a way out that leads nowhere. No packet leaves this machine.
hostname warren
ip link set lo up
ip link add node0 type veth peer name nowhere
for last in 1 2 3 4 5; do ip addr add "10.200.0.$last/24" dev node0; done
ip link set node0 up
ip link set nowhere up
ip route add default via 10.200.0.254
echo 1 >/proc/sys/net/ipv4/ip_forward

# --- Cgroups: all of the pods' lie below one, so that they can be found and removed. Each node has its own in there: a
# kubelet ends what it finds in its cgroup and does not know.
make_cgroup() {
  local controller
  for controller in /sys/fs/cgroup/*/; do
    if [ -e "$controller/cgroup.procs" ]; then mkdir -p "$controller/$1"; fi
  done
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then mkdir -p "/sys/fs/cgroup/$1"; fi
  if [ -e "/sys/fs/cgroup/cpuset/$1" ]; then
    cat /sys/fs/cgroup/cpuset/cpuset.cpus >"/sys/fs/cgroup/cpuset/$1/cpuset.cpus"
    cat /sys/fs/cgroup/cpuset/cpuset.mems >"/sys/fs/cgroup/cpuset/$1/cpuset.mems"
  fi
}
make_cgroup "$cgroup"
# A cgroup counts as one process beside those outside of any, unless it says otherwise: some twenty pods would starve.
if [ -e "/sys/fs/cgroup/cpu/$cgroup/cpu.shares" ]; then echo 8192 >"/sys/fs/cgroup/cpu/$cgroup/cpu.shares"; fi
if [ -e "/sys/fs/cgroup/$cgroup/cpu.weight" ]; then echo 800 >"/sys/fs/cgroup/$cgroup/cpu.weight"; fi

# --- Who is who: an authority for the cluster, and one for the API server as it calls aggregated API servers.
cd /var/pki
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$2" -keyout "$1.key" -out "$1.crt" 2>/dev/null
}
certificate() { # authority, file, subject, alternative names
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" -keyout "$2.key" -out "$2.csr" 2>/dev/null
  openssl x509 -req -in "$2.csr" -CA "$1.crt" -CAkey "$1.key" -CAcreateserial -days 30 -out "$2.crt" 2>/dev/null \
    -extfile <(echo "subjectAltName=$4")
  rm "$2.csr"
}
authority ca warren-cluster
authority front-proxy-ca warren-front-proxy
certificate front-proxy-ca front-proxy-client /CN=front-proxy-client DNS:front-proxy-client
certificate ca apiserver /CN=kube-apiserver \
  IP:127.0.0.1,IP:10.200.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
certificate ca admin /O=system:masters/CN=admin DNS:admin
certificate ca controller-manager /CN=system:kube-controller-manager DNS:controller-manager
certificate ca scheduler /CN=system:kube-scheduler DNS:scheduler
certificate ca proxy /CN=system:kube-proxy DNS:proxy
certificate ca network-policies /CN=network-policies DNS:network-policies
openssl genrsa -out service-account.key 2048 2>/dev/null
openssl rsa -in service-account.key -pubout -out service-account.pub 2>/dev/null
node() { # name, address
  certificate ca "$1" "/O=system:nodes/CN=system:node:$1" "IP:$2,DNS:$1"
  make_cgroup "$cgroup/$1"
}

# --- What runs.
component() {
  local name=$1
  shift
  while :; do
    "$@" >>"/var/log/$name.log" 2>&1 || true
    echo "--- ended; started again in 1 s" >>"/var/log/$name.log"
    sleep 1
  done &
}
# The first packet of each connection from or to a pod waits in a queue until what is started here has let it go on, or
# has not. While it does not run, no pod connects to another. By the NFQUEUE target and not by nft, whose own `queue` not
# every kernel has. What the machine sends itself, as the kubelet to ask how a pod is, goes past it.
enforce_policies() { # addresses of the pods, queue, command
  local pods=$1 queue=$2 failed
  shift 2
  local new=(-m conntrack --ctstate NEW -j NFQUEUE --queue-num "$queue")
  if failed=$({ iptables -t mangle -A FORWARD "${new[@]}" && iptables -t mangle -A INPUT -s "$pods" "${new[@]}"; } 2>&1); then
    component network-policies "$@"
  else
    iptables -t mangle -F || true
    echo "network policies are not enforced: the kernel hands no packets over: ${failed//$'\n'/ }"
  fi
}
. /var/config/components.sh
echo started
# The first process reaps what was left to it.
while :; do wait; sleep 1; done
