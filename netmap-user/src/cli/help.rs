//! The texts that `netmap help` prints.

pub(super) const ABOUT: &str = "Carries a container host's published ports and egress by eBPF";

pub(super) const LONG_ABOUT: &str = "\
    Carries a container host's published ports and its containers' traffic to the outside by eBPF, in \
    place of iptables DNAT, MASQUERADE and one docker-proxy a port.\n\n\
    One daemon (`netmap run`) attaches programs to the uplinks and to the containers' bridges and is the \
    only one that changes anything. What it has attached works on without it, until `netmap down`.";

pub(super) const OVERVIEW: &str = "\
A first round, as root:
  netmap run --bridge docker0 &           attach; uplinks are those with a default route
  netmap publish 8080:80 --to 172.17.0.2  this host's port 8080 is the container's port 80
  netmap ports                            what is published
  netmap flows                            who is connected, and what becomes of the packets
  netmap stats                            what was carried, left alone, dropped, and why
  netmap monitor --drops                  what is dropped from now on, and why
  netmap top                              who carries how much now, on a screen
  netmap unpublish 8080                   from the next packet on
  netmap down                             stop, detach, remove every trace

ports, flows, stats, top and status read the kernel's tables: they work with the daemon stopped, \
and take --json (top with --once).

Exit status: 0 done, 1 failed, 2 wrong usage. `netmap help COMMAND` says more about each.";

pub(super) const RUN: &str = "\
    Attaches to the uplinks and to every port of the bridges, also to ports that appear later, and \
    serves the API until it is stopped. Prints one line when it is attached and ready. Stopping it \
    leaves everything attached: translated traffic goes on, and the next `netmap run` takes over without \
    losing a packet. After a reboot it publishes again what the operator had published, from the state directory.\n\n\
    Native XDP drops what would be dropped anyway, and carries what goes to a container on this host, before \
    the kernel makes a packet of the frame. It gains much where a flood is dropped, nothing towards containers, and only at \
    network cards: on a veth or a virtual machine's uplink it costs bulk TCP its segmentation offload. So auto takes it \
    at physical cards only, and `netmap status` says what the kernel really gave. A container gets frames from \
    XDP while its interface has generic receive offload on (`ethtool -K eth0 gro on` inside, Linux 6.3); the \
    rest goes by TC as ever.\n\n\
    With --nat eim a container's port is one port of this host towards everybody, and everybody may send to it there, \
    as peer-to-peer programs want it: the container is reached without a published port, for five minutes after it \
    last sent by that port. It suits trusted containers; each port takes one of the pool from everybody else.\n\n\
    With --docker it follows a container engine by its API: the bridges of its networks are managed as they come and go, beside \
    those of --bridge, with what the networks are told: --internal, enable_ip_masquerade, gateway modes, trusted host \
    interfaces. What its containers publish is published, and netmap ports shows their names. Where the engine is not there, \
    netmap waits for it, and what it had stays. --direct goes before what a network says; a routed network's containers are \
    reached with --direct BRIDGE=allow alone.\n\n\
    With --egress containers leave by another address of this host than the uplink's. Where a bridge has several of a \
    family (16 at most), each container leaves by one of them, chosen by the container's own address. An address \
    that the host does not have is waited for: meanwhile its containers leave by another of the bridge's, or not at all, \
    never by the uplink's. A flow keeps the address that it began with, and ends when the host loses it.\n\n\
    With --publish-on what is published, on 0.0.0.0 as well, is reached from outside by these uplinks and at these \
    addresses of the host only: an uplink stands for every address, an address for every uplink. The host's own \
    processes and the containers reach it everywhere. `netmap publish` says where a port stays closed.\n\n\
    A container opens flows from its own addresses only, not in a neighbour's name: netmap asks the kernel for the \
    addresses in the namespace behind each veth, and hears when they change. Of taps, and where it cannot know, only what \
    is a known container's is kept from others. --own-addresses BRIDGE=off ends that, for containers that send for others \
    in the bridge's subnet (a bridge or macvlan of their own).\n\n\
    The configuration file (--config) says the same as the flags, in TOML; `netmap config show` prints every key with what \
    counts now and who says so, `netmap config check` tries a file, and `netmap reload` or SIGHUP has it read again. Flags \
    win over it; where a list may speak of single bridges, both count, and the flag's word is the last. Where it says socket, pin_dir or \
    state, the other commands need the same by flag or environment.\n\n\
    Logs go to stderr, or to the journal where systemd has connected stderr with it. --log-level debug says more, and so does \
    NETMAP_LOG=debug.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  netmap run --bridge docker0                          every uplink with a default route, one bridge
  netmap run --uplink eth0 --uplink eth1 --bridge br0  named uplinks only
  netmap run --docker                                  every network of the engine at /var/run/docker.sock
  netmap run --bridge br0 --bridge br1 --nat br1=eim   br1's containers keep their ports towards everybody
  netmap run --bridge br0 --egress br0=192.0.2.7,br0=2001:db8::7
                                                       br0's containers are seen outside with these
  netmap run --bridge br0 --publish-on 203.0.113.5     nothing is published at the host's other addresses
  netmap run --config /etc/netmap/netmap.toml

  # /etc/netmap/netmap.toml
  uplinks = [\"eth0\"]
  bridges = [\"docker0\", \"br-web\"]
  flow_entries = 1048576";

pub(super) const CONFIG: &str = "\
    `check` reads a configuration file as `netmap run --config` would: what is not understood is told with its line, and what would \
    be taken. What the file names and this host does not have (interfaces, addresses, paths) is told on stderr, and is no \
    failure: it may come yet. Exit status 0: the file is valid; 1: it is not.\n\n\
    `show` prints every setting that counts, and who says so: a flag (or a variable of the environment), the file, both, or \
    nobody. It asks the daemon; where none runs, or with --file, it says what the file would give.";

pub(super) const CONFIG_EXAMPLES: &str = "\
Examples:
  netmap config check                  /etc/netmap/netmap.toml
  netmap config check ./new.toml && install -m 0644 new.toml /etc/netmap/netmap.toml && netmap reload
  netmap config show                   what the daemon goes by
  netmap config show --file new.toml   what this file would give
  netmap config show --json";

pub(super) const RELOAD: &str = "\
    Has the daemon read the file of `netmap run --config` again, as SIGHUP and `systemctl reload netmap` do. What is different \
    then applies at once, and no flow is lost but those whose uplink or bridge is taken away. What only a new start can change is \
    named, and stays as it was.\n\n\
    A file that is refused changes nothing: everything stays as it was, this command says why (exit status 1), and `netmap status` \
    goes on to say so until the file is mended.";

pub(super) const RELOAD_EXAMPLES: &str = "\
Examples:
  netmap reload
  netmap reload --json";

pub(super) const PUBLISH: &str = "\
    Publishes ports of this host to a container, for the next packet on: \
    [HOSTIP:]PORT[-END]:CPORT[-CEND][/tcp|udp].\n\n\
    Without HOSTIP the ports are published on every address of this host, those that come later \
    included, IPv4 and IPv6: 0.0.0.0 as HOSTIP is every IPv4 address alone, [::] every IPv6 address. An IPv6 \
    address stands in brackets. An address of 127.0.0.0/8, or [::1], publishes for processes of this host \
    alone. A range needs as many container ports as host ports, and is one rule of each family however long \
    it is. Without a protocol it is tcp.\n\n\
    With two addresses of the container, one of IPv4 and one of IPv6, each family goes to its own. With an \
    IPv4 address alone, the socket proxy takes IPv6 clients there, and the container sees its gateway. With an \
    IPv6 address alone, there is nothing for IPv4 clients.\n\n\
    Each source of --allow counts for its own family. When all of them are of one family, nobody may connect \
    by the other (processes of this host may always).\n\n\
    A port that is published already, or on which another process listens, is refused, and nothing \
    changes.";

pub(super) const PUBLISH_EXAMPLES: &str = "\
Examples:
  netmap publish 8080:80 --to 172.17.0.2
  netmap publish 8080:80 --to 172.17.0.2 --to fd00::2   each family to its own address of the container
  netmap publish 0.0.0.0:8080:80 --to 172.17.0.2        IPv4 alone
  netmap publish [::]:8080:80 --to fd00::2              IPv6 alone
  netmap publish 192.0.2.1:53:53/udp --to 172.17.0.2    on one address of this host
  netmap publish [2001:db8::1]:53:53/udp --to fd00::2
  netmap publish 127.0.0.1:5432:5432 --to 172.17.0.3    for this host alone
  netmap publish 20000-29999:20000-29999/udp --to 172.17.0.4
  netmap publish 22:22 --to 172.17.0.5 --allow 10.0.0.0/8,fd00::/8 --allow 192.0.2.7
  netmap publish --file ports.list                      all of its lines or none, such as
                                                        8080:80 172.17.0.2,fd00::2
                                                        22:22 172.17.0.5 10.0.0.0/8,192.0.2.7";

pub(super) const UNPUBLISH: &str = "\
    Takes back what was published: [HOSTIP:]PORT[-END][/tcp|udp], as `netmap ports` prints it. Without \
    HOSTIP that is what is published on every address, of IPv4, of IPv6 or of both; 0.0.0.0 and [::] name one \
    of them. A range goes as a whole. Connections through it end with their next packet. What docker has published \
    can be taken back too, but docker is not told: it comes back when its container or netmap is restarted.";

pub(super) const UNPUBLISH_EXAMPLES: &str = "\
Examples:
  netmap unpublish 8080
  netmap unpublish [::]:8080                            IPv4 clients keep theirs
  netmap unpublish 192.0.2.1:53/udp
  netmap unpublish 20000-29999/udp
  netmap unpublish --file ports.list                    a SPEC a line, all or none";

pub(super) const PORTS: &str = "\
    Lists what is published, from the kernel's tables, a line a family: the published ports, the \
    container's, whether eBPF carries it or the proxy all of it (IPv6 to a container's IPv4 address), whose it is \
    (operator, docker, or docker (unclaimed) when the engine that had it published is gone), who may \
    connect, for how long it has been published, and how many flows use it. The keys of a line of JSON: host, \
    port, end, protocol, container, container_port, container_end, allow, rule, generation, age_seconds, flows, \
    idle_seconds, proxied, owner; docs/json.md says what each is. `\"allow\":[\"::/128\"]` (of IPv4 0.0.0.0/32) stands for nobody.\n\n\
    USED is when a packet last came or went by it, as far as the flows tell that are there, and those that the daemon has ended \
    since it began. What the proxy carries, and what the host's own processes do, is not in it, nor in the rates that --sample \
    prints: packets, bytes and new flows a second between two looks at the flow tables.";

pub(super) const PORTS_EXAMPLES: &str = "\
Examples:
  netmap ports
  netmap ports --container web
  netmap ports --sample --sort bytes --limit 10     who carries most
  netmap ports --unused                             what nobody uses
  netmap ports --json | jq -r '.ports[] | \"\\(.port) \\(.container)\"'
  netmap ports --json | jq '.ports[] | select(.owner == \"docker\")'";

pub(super) const FLOWS: &str = "\
    Lists flows as they are read from the tables, IPv4's first, in no order: the packet that opened each as it came \
    (ORIGINAL), and as it went on (TRANSLATED). Packets and bytes are original/reply. With --limit, the \
    one that had a packet last comes first; --sort has other orders. Neither takes more memory than what is printed.\n\n\
    Kinds: published (from outside to a published port), egress (from a container to the outside), \
    hairpin (from a container to another's published port), own-port (from a container to its own), direct (from outside straight to \
    a container, --direct), mapping and mapped (--nat eim). An \
    ICMP echo flow has its identifier as source port.\n\n\
    States of TCP: opening, established, closed, reset. Of others: unanswered, answered; of mappings: kept.";

pub(super) const FLOWS_EXAMPLES: &str = "\
Examples:
  netmap flows --limit 20
  netmap flows --protocol udp --kind egress
  netmap flows --address 203.0.113.9
  netmap flows --address 2001:db8::9
  netmap flows --sort bytes --limit 10 --container web
  netmap flows --flow-state established --idle 1h
  netmap flows close --client 203.0.113.9           see netmap flows close --help
  netmap flows --json | jq .total";

pub(super) const FLOWS_CLOSE: &str = "\
    Has the daemon forget the flows that all filters fit, of both families, and says how many there were. At least one filter is \
    needed, or --all.\n\n\
    Nobody is told: neither end gets a FIN or a reset. The next packet of a closed flow is decided anew. A datagram or a ping opens \
    a new flow, where it may still. A TCP packet to a published port opens none, for it is no SYN: it is dropped or left to the host \
    (mid-flow in netmap stats), and both ends find out by their own timers. To keep a client out for good, publish the port with \
    --allow. `netmap monitor` tells of each flow that was closed (flow-closed).";

pub(super) const FLOWS_CLOSE_EXAMPLES: &str = "\
Examples:
  netmap flows close --client 203.0.113.9
  netmap flows close --port 8080 --idle 1h
  netmap flows close --container web --protocol udp";

pub(super) const STATS: &str = "\
    Counts packets by the hook that saw them and by what became of them: carried (translated and sent \
    on), passed (left to the host, untouched) or dropped, each with its reason. Counters start at 0 when \
    netmap attaches first, and only grow. The socket hook counts connections and datagrams. \
    Nothing is counted by interface: a hook stands for all interfaces of its kind (uplink-in for all uplinks, port-in for all \
    containers' ports), for a counter each would cost every packet time. `ip -s link` has what an interface did, `netmap monitor \
    --interface` the packets.\n\n\
    With --watch it prints what came in a second since the time before, a block a time; on a terminal in place of the last one.";

pub(super) const STATS_EXAMPLES: &str = "\
Examples:
  netmap stats
  netmap stats --class dropped --watch              what is dropped, a second
  netmap stats --watch 5s --count 12 --json
  netmap stats --json | jq '.counters[] | select(.class == \"dropped\")'";

pub(super) const MONITOR: &str = "\
    Tells what happens as it happens, a line an event: a packet dropped, or left to the host where netmap could have carried \
    it, with the reason; a flow opened, and one that ended with its packets and bytes (original/reply); ports published and \
    taken back; where published containers are found; programs attached and detached.\n\n\
    Filters of different kinds must all fit, of one kind any. --drops and --reason leave packets alone. What is left to the host \
    for everyday reasons (to-host, on-link, from-host, transit, not-ip, vlan, not-routable, other-icmp, stack-flow, not-masqueraded, \
    left-to-tc) is told with --all or by its --reason. Packets of a flow are never told: tcpdump shows those.\n\n\
    The daemon must run, and you must be allowed to talk to it; several may watch. While nobody does, it costs no \
    packet anything. More than 20,000 events a second, or more than you can take, are counted as missed. With --json, the first \
    line is the event watching; docs/troubleshooting.md has the keys of each. --pcap keeps the first 256 bytes of dropped \
    packets as they came.";

pub(super) const MONITOR_EXAMPLES: &str = "\
Examples:
  netmap monitor                                        what goes wrong, and what begins and ends
  netmap monitor --drops --port 8080                    why nobody reaches port 8080
  netmap monitor --reason no-endpoint,not-allowed
  netmap monitor --container web --address 203.0.113.0/24
  netmap monitor --drops --pcap drops.pcapng            and then: wireshark drops.pcapng
  netmap monitor --json | jq -r 'select(.event == \"flow-closed\") | [.original.src, .bytes_reply] | @tsv'";

pub(super) const EXPLAIN: &str = "\
    Tells what would become of a packet, step by step: where it comes in, which flow or published port it belongs to and what \
    comes close, who may pass, what is translated and how the answer comes back, where it goes; or why it does not, and the \
    command that would change that. The NAT itself decides, by the tables as they are: nothing is sent, written or counted, \
    and the daemon need not run.\n\n\
    Where it comes in follows from the source: a container's port, this host itself (its own addresses and 127.0.0.1: a \
    process asks), or the uplink towards it; --from names another. Ports are what the packet has there: of somebody behind \
    another NAT, that one's. The source's port may be left out. The packet is a small one: what is too big, `netmap monitor` \
    tells.\n\n\
    The keys of JSON: protocol, packet, from, steps, hooks, outcome (carried, connected, proxied, host, forwarded, refused, \
    dropped), reason, meaning, translated, answer, answer_translated, rule, flow, advice.";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  netmap explain 203.0.113.9:40000 192.0.2.1:8080/tcp   a client outside asks a published port
  netmap explain 203.0.113.9 192.0.2.1:8080             the same; TCP from any port
  netmap explain 172.17.0.2 198.51.100.7:443/tcp        a container asks somebody outside
  netmap explain 172.17.0.2 198.51.100.7/icmp           it pings
  netmap explain 127.0.0.1 127.0.0.1:8080/tcp           a process of this host
  netmap explain [2001:db8::9]:40000 [2001:db8::1]:53/udp --from eth1
  netmap explain 203.0.113.9 192.0.2.1:8080 --json | jq -r '.reason, .advice[].command'";

pub(super) const TOP: &str = "\
    Shows on a terminal, again every two seconds: published ports by rate, containers, the busiest flows, what is dropped \
    and why, how full the tables are, and how many flows are new each second. Enter looks inside: a port's flows, a container's \
    ports and flows, what a reason means. ? lists the keys, q ends it. Where NO_COLOR is set, there are no colours.\n\n\
    It reads the kernel's tables, with the daemon or without; the daemon is asked for the names of containers only. Rates are \
    bytes a second at layer 3, of what flows carry: IN is to the container. What the proxy carries, and connections of this host \
    that go straight to a container, are in no flow. With more than 131,072 flows, rates are estimates, by one flow in two, or \
    in four, and so on; then the first line says so. Where reading takes longer than the interval, it is read less often.\n\n\
    With --once it prints the lists after one interval, and ends. The keys of JSON: interval_seconds, rates_by_one_in, \
    bytes_in_rate, bytes_out_rate, packets_in_rate, packets_out_rate, dropped_rate, flows, new_flows_rate, ports, containers, \
    flows_busiest, reasons, tables.";

pub(super) const TOP_EXAMPLES: &str = "\
Examples:
  netmap top
  netmap top -d 0.5                                          twice a second
  netmap top --once --limit 5
  netmap top --once --json | jq -r '.ports[] | [.published, .bytes_in_rate, .bytes_out_rate] | @tsv'
  netmap top --once --json | jq '.reasons[] | select(.class == \"dropped\" and .packets_rate > 0)'";

pub(super) const STATUS: &str = "\
    Tells whether the daemon runs, what is attached to which interface and how, how full the tables are \
    (IPv6 has its own: flows6, ..), by which address each uplink carries IPv4 and IPv6 if it does, by which \
    addresses each bridge's containers leave, how it maps ports (--nat; how many mappings there are) and who may go straight \
    to them (--direct), which \
    interfaces are missing, and which published containers have no place that netmap knows (the proxy \
    serves those), and in lines that begin with \"not so\" what else is not in force. The programs' digest is the same wherever \
    the same code is loaded; the kernel's line says whether it has all that netmap uses.";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  netmap status
  netmap status --json | jq .daemon.running
  netmap status --json | jq '.bridges[] | [.interface, .mappings]'
  netmap status --json | jq '.uplinks[] | select(.ipv6 == null) | .interface'";

pub(super) const DOCKER: &str = "\
    Makes Docker publish its ports by netmap: sets iptables, ip6tables, userland-proxy and userland-proxy-path in \
    daemon.json, and has systemd start netmap before Docker and netmap follow Docker. Other settings keep their place and their text; what was \
    there before is kept in daemon.json.before-netmap, and remove brings it back to the byte, or, where somebody has \
    changed other settings since, netmap's own alone. Both do nothing the second time, and refuse to begin where dockerd \
    would not start. dockerd reads its settings when it starts: both tell what to restart, and restart nothing.";

pub(super) const DOCKER_EXAMPLES: &str = "\
Examples:
  netmap docker install --print       what would be written
  netmap docker install && systemctl daemon-reload && systemctl restart netmap docker
  netmap docker status
  netmap docker remove && systemctl daemon-reload && systemctl restart docker
  systemctl disable --now netmap && netmap down     then: without netmap";

pub(super) const DOCTOR: &str = "\
    Looks for what would break netmap on this host, or be broken beside it, and changes nothing. Each finding has a word \
    of its own, what was found, what it means for traffic, and the command that mends it. Exit status: 0 nothing found, 1 \
    something.\n\n\
    Findings: daemon, kernel, program-in-front, xdp-in-front, no-endpoint, missing-interface; docker-settings, \
    docker-restart, docker-proxy, docker-flag; docker-chains, docker-table, forward-drop, ufw, firewalld; ip-forward, \
    ipv6-forwarding, route-localnet, rp-filter, br-netfilter. The keys of JSON: id, found, means, mend.";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  netmap doctor
  netmap doctor --ignore br-netfilter,ufw
  netmap doctor --json | jq -r '.findings[].mend'";

pub(super) const DOWN: &str = "\
    Stops the daemon if it runs, detaches every program and removes all pins and the socket. Published \
    ports are gone, also from the state directory, and translated connections end. With --keep-published the next \
    `netmap run` publishes again what the operator had published. Where there is nothing to remove, that is no failure.";

pub(super) const DOWN_EXAMPLES: &str = "\
Examples:
  netmap down
  netmap down --keep-published     before another version that cannot take the tables over
  netmap down --pin-dir /sys/fs/bpf/netmap-test";
