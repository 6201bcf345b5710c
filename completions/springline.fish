# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_springline_global_optspecs
    string join \n h/help V/version
end

function __fish_springline_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_springline_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_springline_using_subcommand
    set -l cmd (__fish_springline_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c springline -n "__fish_springline_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_needs_command" -s V -l version -d 'Print version'
complete -c springline -n "__fish_springline_needs_command" -f -a "demo" -d 'Show it at work: a host and two containers in throw-away namespaces, attached, pinged, detached'
complete -c springline -n "__fish_springline_needs_command" -f -a "attach" -d 'Attach a network namespace to a network'
complete -c springline -n "__fish_springline_needs_command" -f -a "plan" -d 'Print what `attach` would do, step by step, without doing it'
complete -c springline -n "__fish_springline_needs_command" -f -a "detach" -d 'Detach what was attached, by whomever'
complete -c springline -n "__fish_springline_needs_command" -f -a "ls" -d 'List the attachments: what is plugged where, by whom, and whether it is as recorded'
complete -c springline -n "__fish_springline_needs_command" -f -a "inspect" -d 'Show all that is known of attachments'
complete -c springline -n "__fish_springline_needs_command" -f -a "graph" -d 'Draw the host: links, networks, bridges, containers, addresses, routes, ports'
complete -c springline -n "__fish_springline_needs_command" -f -a "ip" -d 'Addresses of an attachment that is in use: give, take, list'
complete -c springline -n "__fish_springline_needs_command" -f -a "route" -d 'Networks that the host routes to an attachment: add, take away, list'
complete -c springline -n "__fish_springline_needs_command" -f -a "set" -d 'Rates, MTU, isolation and ports of an attachment that is in use'
complete -c springline -n "__fish_springline_needs_command" -f -a "rename" -d 'Give the interface of an attachment that is in use another name, inside its container'
complete -c springline -n "__fish_springline_needs_command" -f -a "netns" -d 'Named network namespaces: make, remove, list, run a command in one'
complete -c springline -n "__fish_springline_needs_command" -f -a "check" -d 'Compare attachments with their records, and put right what has drifted'
complete -c springline -n "__fish_springline_needs_command" -f -a "gc" -d 'Remove what dead containers have left: attachments whose network namespace is gone'
complete -c springline -n "__fish_springline_needs_command" -f -a "watch" -d 'Keep an eye on containers\' links: withdraw routes to what is unplugged, put right what drifts, remove what is dead'
complete -c springline -n "__fish_springline_needs_command" -f -a "doctor" -d 'Say what is wrong with this host for containers, why it matters, and the command that mends it'
complete -c springline -n "__fish_springline_needs_command" -f -a "hook" -d 'Serve a container runtime that does not speak CNI'
complete -c springline -n "__fish_springline_needs_command" -f -a "distconfig" -d 'Write a guest\'s own network configuration, so that it agrees with what was plumbed instead of wiping it'
complete -c springline -n "__fish_springline_needs_command" -f -a "schema" -d 'Print the JSON schema of the network configuration'
complete -c springline -n "__fish_springline_needs_command" -f -a "man" -d 'Write the manual: one page a command'
complete -c springline -n "__fish_springline_needs_command" -f -a "completions" -d 'Print a shell\'s completions'
complete -c springline -n "__fish_springline_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand attach" -l netns -d 'The namespace: its name in /run/netns, or a path' -r
complete -c springline -n "__fish_springline_using_subcommand attach" -l pid -d 'A process in the namespace' -r
complete -c springline -n "__fish_springline_using_subcommand attach" -l id -d 'By which id the container is to be known; the namespace\'s name, unless given' -r
complete -c springline -n "__fish_springline_using_subcommand attach" -l ifname -d 'The interface\'s name inside' -r
complete -c springline -n "__fish_springline_using_subcommand attach" -l ip -d 'An address, beside or instead of what the network gives; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand attach" -l route -d 'A further network that the host routes to it, `NET` or `NET via ADDRESS`; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand attach" -l mac -d 'The interface\'s MAC' -r
complete -c springline -n "__fish_springline_using_subcommand attach" -s p -l port -d 'Ports of the host that lead to it: [ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand attach" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand plan" -l netns -d 'The namespace, its name in /run/netns or a path: the plan is for how it is now' -r
complete -c springline -n "__fish_springline_using_subcommand plan" -l id -d 'By which id the container is to be known; the namespace\'s name, or c1, unless given' -r
complete -c springline -n "__fish_springline_using_subcommand plan" -l ifname -d 'The interface\'s name inside' -r
complete -c springline -n "__fish_springline_using_subcommand plan" -l ip -d 'An address, beside or instead of what the network gives; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand plan" -l route -d 'A further network that the host routes to it, `NET` or `NET via ADDRESS`; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand plan" -l mac -d 'The interface\'s MAC' -r
complete -c springline -n "__fish_springline_using_subcommand plan" -s p -l port -d 'Ports of the host that lead to it: [ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand plan" -s o -l output -d 'How to print: `text`, `shell` for a script that does the same, or `json` for programs' -r -f -a "text\t''
shell\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand detach" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand detach" -l moved -d 'Their addresses are on another host now: have the kernel forget UDP flows from and to them, which it would go on to treat as if they were here (no masquerade toward them, for one)'
complete -c springline -n "__fish_springline_using_subcommand detach" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand ls" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand ls" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand inspect" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand graph" -s o -l output -d 'How to draw: `text` (a tree), `svg` (a picture for any browser), `dot` (for graphviz), or `json` for programs' -r -f -a "text\t''
svg\t''
dot\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand graph" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand ip; and not __fish_seen_subcommand_from add del ls help" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand ip; and not __fish_seen_subcommand_from add del ls help" -f -a "add" -d 'Give the interface another address'
complete -c springline -n "__fish_springline_using_subcommand ip; and not __fish_seen_subcommand_from add del ls help" -f -a "del" -d 'Take an address away from the interface, and its route with it'
complete -c springline -n "__fish_springline_using_subcommand ip; and not __fish_seen_subcommand_from add del ls help" -f -a "ls" -d 'List the addresses: version, address, and by which network the host routes it'
complete -c springline -n "__fish_springline_using_subcommand ip; and not __fish_seen_subcommand_from add del ls help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from add" -l route-as -d 'Have the host route this network, which contains the address, instead of the address alone' -r
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from add" -l via -d 'The next hop of its route, inside the container' -r
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from add" -l no-route -d 'No route for it: a network that is routed there already must contain it'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from del" -l keep-route -d 'Have the host go on routing it there'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from ls" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from help" -f -a "add" -d 'Give the interface another address'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from help" -f -a "del" -d 'Take an address away from the interface, and its route with it'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the addresses: version, address, and by which network the host routes it'
complete -c springline -n "__fish_springline_using_subcommand ip; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand route; and not __fish_seen_subcommand_from add del ls help" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand route; and not __fish_seen_subcommand_from add del ls help" -f -a "add" -d 'Have the host route another network to the container'
complete -c springline -n "__fish_springline_using_subcommand route; and not __fish_seen_subcommand_from add del ls help" -f -a "del" -d 'Not any more; addresses of the container\'s inside of it get routes of their own'
complete -c springline -n "__fish_springline_using_subcommand route; and not __fish_seen_subcommand_from add del ls help" -f -a "ls" -d 'List what is routed there: networks, and addresses that none of them contains'
complete -c springline -n "__fish_springline_using_subcommand route; and not __fish_seen_subcommand_from add del ls help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from add" -l via -d 'The next hop, inside the container; its own address unless given' -r
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from ls" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from help" -f -a "add" -d 'Have the host route another network to the container'
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from help" -f -a "del" -d 'Not any more; addresses of the container\'s inside of it get routes of their own'
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List what is routed there: networks, and addresses that none of them contains'
complete -c springline -n "__fish_springline_using_subcommand route; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand set" -l ingress-rate -d 'What it may receive: bits a second, with k, M or G; `none` lifts the limit' -r
complete -c springline -n "__fish_springline_using_subcommand set" -l egress-rate -d 'What it may send: bits a second, with k, M or G; `none` lifts the limit' -r
complete -c springline -n "__fish_springline_using_subcommand set" -l mtu -d 'MTU of both ends in bytes, or `auto`' -r
complete -c springline -n "__fish_springline_using_subcommand set" -l isolation -d 'Which other containers it reaches; repeatable' -r -f -a "none\t'All of them'
ports\t'None at all'
network\t'Those of its own network'"
complete -c springline -n "__fish_springline_using_subcommand set" -s p -l port -d 'Ports of the host that shall lead to it: [ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand set" -l no-port -d 'Ports that shall not any more; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand rename" -l interrupt -d 'Where the kernel does not rename a link that is up (before Linux 6.2), take it down for that, and up again'
complete -c springline -n "__fish_springline_using_subcommand rename" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand netns; and not __fish_seen_subcommand_from add del ls exec help" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand netns; and not __fish_seen_subcommand_from add del ls exec help" -f -a "add" -d 'Make a namespace called NAME, in /run/netns, with its loopback link up'
complete -c springline -n "__fish_springline_using_subcommand netns; and not __fish_seen_subcommand_from add del ls exec help" -f -a "del" -d 'Take the name away, and the namespace with it unless somebody is in it'
complete -c springline -n "__fish_springline_using_subcommand netns; and not __fish_seen_subcommand_from add del ls exec help" -f -a "ls" -d 'List the names, with what springline has attached to each'
complete -c springline -n "__fish_springline_using_subcommand netns; and not __fish_seen_subcommand_from add del ls exec help" -f -a "exec" -d 'Run a command in a namespace: its name, or the path of one'
complete -c springline -n "__fish_springline_using_subcommand netns; and not __fish_seen_subcommand_from add del ls exec help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from ls" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from exec" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "add" -d 'Make a namespace called NAME, in /run/netns, with its loopback link up'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "del" -d 'Take the name away, and the namespace with it unless somebody is in it'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the names, with what springline has attached to each'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "exec" -d 'Run a command in a namespace: its name, or the path of one'
complete -c springline -n "__fish_springline_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand check" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand check" -l repair -d 'Put right what has drifted: only that, and without touching anything else'
complete -c springline -n "__fish_springline_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand gc" -l keep -d 'Containers that are to be kept even if their namespaces are gone; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand gc" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand watch" -l interval -d 'Look at all attachments every so many seconds, for what the kernel does not tell of: sysctls, rules, rates, and namespaces that died behind a bind mount; 0 never does' -r
complete -c springline -n "__fish_springline_using_subcommand watch" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand doctor" -l root -d 'Look below DIR for /etc, /run and /usr/lib of systemd-networkd, `NetworkManager` and udev, and for /run/netns' -r -F
complete -c springline -n "__fish_springline_using_subcommand doctor" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand doctor" -s q -l quiet -d 'Print warnings and errors only'
complete -c springline -n "__fish_springline_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand hook; and not __fish_seen_subcommand_from lxc oci help" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand hook; and not __fish_seen_subcommand_from lxc oci help" -f -a "lxc" -d 'LXC: serves lxc.hook.start-host, lxc.hook.stop and lxc.hook.post-stop'
complete -c springline -n "__fish_springline_using_subcommand hook; and not __fish_seen_subcommand_from lxc oci help" -f -a "oci" -d 'OCI runtimes (runc, crun, youki, podman, CRI-O): serves createRuntime (or prestart) and poststop'
complete -c springline -n "__fish_springline_using_subcommand hook; and not __fish_seen_subcommand_from lxc oci help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -l network -d 'Begin an interface on this network, by its name in /etc/cni/net.d' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -l ifname -d 'Its name inside; eth0 for the first, eth1 for the second, and so on' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -l ip -d 'An address for it, beside or instead of what the network gives; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -l route -d 'A further network that the host routes to it, `NET` or `NET via ADDRESS`; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -l mac -d 'Its MAC' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -l port -d 'Ports of the host that lead to it: [ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -l config -d 'The file with the container\'s interfaces; by default /etc/springline/lxc/NAME.json' -r -F
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -l write-config -d 'Have the guest\'s own network service agree with what was made: write its files (springline distconfig)'
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from lxc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -l network -d 'Begin an interface on this network, by its name in /etc/cni/net.d' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -l ifname -d 'Its name inside; eth0 for the first, eth1 for the second, and so on' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -l ip -d 'An address for it, beside or instead of what the network gives; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -l route -d 'A further network that the host routes to it, `NET` or `NET via ADDRESS`; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -l mac -d 'Its MAC' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -l port -d 'Ports of the host that lead to it: [ADDRESS:]PORT[-PORT]:PORT[-PORT][/PROTOCOL]; repeatable' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -l allow -d 'A network that annotations may name; repeatable. Without it, any' -r
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -l allow-key -d 'What annotations may say beside network and ifname: ip, route, mac or port; repeatable, or with commas. Without it, all of them; "none": nothing' -r -f -a "ip\t''
route\t''
mac\t''
port\t''
none\t''"
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from oci" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "lxc" -d 'LXC: serves lxc.hook.start-host, lxc.hook.stop and lxc.hook.post-stop'
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "oci" -d 'OCI runtimes (runc, crun, youki, podman, CRI-O): serves createRuntime (or prestart) and poststop'
complete -c springline -n "__fish_springline_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand distconfig" -l rootfs -d 'The guest\'s root: a folder, or /proc/PID/root' -r -F
complete -c springline -n "__fish_springline_using_subcommand distconfig" -l distro -d 'The guest\'s distribution, or `auto` to look into its os-release' -r
complete -c springline -n "__fish_springline_using_subcommand distconfig" -l id -d 'Write what the container of this id was given, as springline has recorded it' -r
complete -c springline -n "__fish_springline_using_subcommand distconfig" -l config -d 'Write what this file (or `-`, stdin) says, for a rootfs that is prepared before any start' -r -F
complete -c springline -n "__fish_springline_using_subcommand distconfig" -s o -l output -d 'How to print: `text`, or `json` for programs' -r -f -a "text\t''
json\t''"
complete -c springline -n "__fish_springline_using_subcommand distconfig" -l remove -d 'Take out all files of springline\'s, and put back what was there before'
complete -c springline -n "__fish_springline_using_subcommand distconfig" -l dry-run -d 'Print the files with their contents, and touch nothing'
complete -c springline -n "__fish_springline_using_subcommand distconfig" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c springline -n "__fish_springline_using_subcommand schema" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand man" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand completions" -s h -l help -d 'Print help'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "demo" -d 'Show it at work: a host and two containers in throw-away namespaces, attached, pinged, detached'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "attach" -d 'Attach a network namespace to a network'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "plan" -d 'Print what `attach` would do, step by step, without doing it'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "detach" -d 'Detach what was attached, by whomever'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "ls" -d 'List the attachments: what is plugged where, by whom, and whether it is as recorded'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "inspect" -d 'Show all that is known of attachments'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "graph" -d 'Draw the host: links, networks, bridges, containers, addresses, routes, ports'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "ip" -d 'Addresses of an attachment that is in use: give, take, list'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "route" -d 'Networks that the host routes to an attachment: add, take away, list'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "set" -d 'Rates, MTU, isolation and ports of an attachment that is in use'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "rename" -d 'Give the interface of an attachment that is in use another name, inside its container'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "netns" -d 'Named network namespaces: make, remove, list, run a command in one'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "check" -d 'Compare attachments with their records, and put right what has drifted'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "gc" -d 'Remove what dead containers have left: attachments whose network namespace is gone'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "watch" -d 'Keep an eye on containers\' links: withdraw routes to what is unplugged, put right what drifts, remove what is dead'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "doctor" -d 'Say what is wrong with this host for containers, why it matters, and the command that mends it'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "hook" -d 'Serve a container runtime that does not speak CNI'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "distconfig" -d 'Write a guest\'s own network configuration, so that it agrees with what was plumbed instead of wiping it'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "schema" -d 'Print the JSON schema of the network configuration'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "man" -d 'Write the manual: one page a command'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "completions" -d 'Print a shell\'s completions'
complete -c springline -n "__fish_springline_using_subcommand help; and not __fish_seen_subcommand_from demo attach plan detach ls inspect graph ip route set rename netns check gc watch doctor hook distconfig schema man completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from ip" -f -a "add" -d 'Give the interface another address'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from ip" -f -a "del" -d 'Take an address away from the interface, and its route with it'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from ip" -f -a "ls" -d 'List the addresses: version, address, and by which network the host routes it'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from route" -f -a "add" -d 'Have the host route another network to the container'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from route" -f -a "del" -d 'Not any more; addresses of the container\'s inside of it get routes of their own'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from route" -f -a "ls" -d 'List what is routed there: networks, and addresses that none of them contains'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from netns" -f -a "add" -d 'Make a namespace called NAME, in /run/netns, with its loopback link up'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from netns" -f -a "del" -d 'Take the name away, and the namespace with it unless somebody is in it'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from netns" -f -a "ls" -d 'List the names, with what springline has attached to each'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from netns" -f -a "exec" -d 'Run a command in a namespace: its name, or the path of one'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "lxc" -d 'LXC: serves lxc.hook.start-host, lxc.hook.stop and lxc.hook.post-stop'
complete -c springline -n "__fish_springline_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "oci" -d 'OCI runtimes (runc, crun, youki, podman, CRI-O): serves createRuntime (or prestart) and poststop'
