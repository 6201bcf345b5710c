/*
 * floor.c - the least that an ADD or a DEL must do: the unit of tests/bench.
 *
 *   floor add routed  NETNS HOSTLINK ADDRESS GATEWAY
 *   floor add bridged NETNS HOSTLINK ADDRESS GATEWAY LENGTH BRIDGE
 *   floor del HOSTLINK [BRIDGE]
 *
 * IPv4 only. No configuration is read, no address chosen, nothing written down, nothing guarded, masqueraded or waited
 * for: a pair with the peer born inside the namespace, addresses, routes, up; and a result on stdout. `add` leaves the
 * links, addresses and routes that springline's ADD leaves (tests/bench/check compares them): so with the gateway on
 * the host's side, without which nothing would pass, and without IPv6 link-local addresses that nobody asked for. What
 * a plugin may do without is left out: MACs and aliases of its choice, sysctls. BRIDGE is made, with the gateway's
 * address, if it is not there; `del` takes it away if it is named.
 *
 * Three datagrams: the pair; inside; on the host. One more for a new bridge. An error ends it, and is named.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUP 171    /* the link group and the routing protocol that springline uses, too */
#define PROTOCOL 171

/* The datagram that is being written, and how many messages are in it. */
static char datagram[8192];
static size_t length;
static int messages;

static void fail(const char *what, int error)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(error));
    exit(1);
}

/* ------------------------------------------------------------ writing */

static void put(const void *data, size_t size)
{
    if (length + NLMSG_ALIGN(size) > sizeof datagram)
        fail("a datagram of more than 8 KB", EMSGSIZE);
    memset(datagram + length, 0, NLMSG_ALIGN(size));
    if (size)
        memcpy(datagram + length, data, size);
    length += NLMSG_ALIGN(size);
}

/* Begins a message of `type` with its family's header; returns where it begins. */
static size_t begin(int type, int flags, const void *header, size_t size)
{
    size_t at = length;
    struct nlmsghdr message = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags };

    message.nlmsg_seq = ++messages;
    put(&message, sizeof message);
    put(header, size);
    return at;
}

static void end(size_t message)
{
    ((struct nlmsghdr *)(datagram + message))->nlmsg_len = length - message;
}

static size_t attribute(int type, const void *data, size_t size)
{
    size_t at = length;
    struct rtattr head = { .rta_type = type, .rta_len = RTA_LENGTH(size) };

    put(&head, sizeof head);
    put(data, size);
    return at;
}

static void text(int type, const char *value)
{
    attribute(type, value, strlen(value) + 1);
}

static size_t nest(int type)
{
    return attribute(type, NULL, 0);
}

static void close_nest(size_t at)
{
    ((struct rtattr *)(datagram + at))->rta_len = length - at;
}

/* Sends what has been written, and reads an answer for each message. */
static void send_all(int netlink, const char *what)
{
    static char answers[32768];

    if (send(netlink, datagram, length, 0) < 0)
        fail(what, errno);
    while (messages > 0) {
        ssize_t got = recv(netlink, answers, sizeof answers, 0);
        if (got < 0)
            fail(what, errno);
        for (struct nlmsghdr *at = (void *)answers; NLMSG_OK(at, got); at = NLMSG_NEXT(at, got)) {
            struct nlmsgerr *answer = NLMSG_DATA(at);
            if (at->nlmsg_type != NLMSG_ERROR)
                continue;
            if (answer->error)
                fail(what, -answer->error);
            messages--;
        }
    }
    length = 0;
}

/* ------------------------------------------------------------ messages */

/* No IPv6 link-local address, unless somebody asks for one. Not at creation: the kernel heeds it only in a change of a
 * link, and there after its flags (do_setlink() in net/core/rtnetlink.c); so before the link goes up. */
static void no_link_local(int link)
{
    struct ifinfomsg header = { .ifi_index = link };
    unsigned char mode = IN6_ADDR_GEN_MODE_NONE;
    size_t message = begin(RTM_NEWLINK, 0, &header, sizeof header);
    size_t families = nest(IFLA_AF_SPEC), inet6 = nest(AF_INET6);

    attribute(IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof mode);
    close_nest(inet6);
    close_nest(families);
    end(message);
}

static void up(int link)
{
    struct ifinfomsg header = { .ifi_index = link, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };

    end(begin(RTM_NEWLINK, 0, &header, sizeof header));
}

static void address(int link, struct in_addr value, int prefix, int scope, int flags)
{
    struct ifaddrmsg header = { .ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = link, .ifa_scope = scope };
    size_t message = begin(RTM_NEWADDR, NLM_F_CREATE | flags, &header, sizeof header);

    attribute(IFA_LOCAL, &value, sizeof value);
    attribute(IFA_ADDRESS, &value, sizeof value);
    if (prefix < 31) {
        struct in_addr broadcast = { value.s_addr | htonl(0xffffffffu >> prefix) };
        attribute(IFA_BROADCAST, &broadcast, sizeof broadcast);
    }
    end(message);
}

/* A route to `to` (NULL: the default route), by `gateway` or to the link itself. */
static void route(int link, const struct in_addr *to, const struct in_addr *gateway, int protocol, int onlink)
{
    struct rtmsg header = {
        .rtm_family = AF_INET, .rtm_dst_len = to ? 32 : 0, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = protocol,
        .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK, .rtm_type = RTN_UNICAST,
        .rtm_flags = onlink ? RTNH_F_ONLINK : 0,
    };
    size_t message = begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof header);

    if (to)
        attribute(RTA_DST, to, sizeof *to);
    if (gateway)
        attribute(RTA_GATEWAY, gateway, sizeof *gateway);
    attribute(RTA_OIF, &link, sizeof link);
    end(message);
}

/* Nothing is wrong if another floor has just made it. */
static void new_bridge(const char *name)
{
    struct ifinfomsg header = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    int group = GROUP;
    size_t message = begin(RTM_NEWLINK, NLM_F_CREATE, &header, sizeof header), info;

    text(IFLA_IFNAME, name);
    attribute(IFLA_GROUP, &group, sizeof group);
    info = nest(IFLA_LINKINFO);
    text(IFLA_INFO_KIND, "bridge");
    close_nest(info);
    end(message);
}

/* Of more queues than one, the kernel makes what it takes away again (veth_init_queues()). */
static void one_queue(void)
{
    int one = 1;

    attribute(IFLA_NUM_TX_QUEUES, &one, sizeof one);
    attribute(IFLA_NUM_RX_QUEUES, &one, sizeof one);
}

/* The pair. The peer cannot be born up: there is nobody at the other end yet (veth_open(): ENOTCONN). */
static void new_pair(const char *name, int namespace, int bridge)
{
    struct ifinfomsg header = { 0 };
    int group = GROUP;
    size_t message = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof header), info, data, peer;

    text(IFLA_IFNAME, name);
    attribute(IFLA_GROUP, &group, sizeof group);
    one_queue();
    if (bridge)
        attribute(IFLA_MASTER, &bridge, sizeof bridge);
    info = nest(IFLA_LINKINFO);
    text(IFLA_INFO_KIND, "veth");
    data = nest(IFLA_INFO_DATA);
    peer = nest(VETH_INFO_PEER);
    put(&header, sizeof header);
    text(IFLA_IFNAME, "eth0");
    attribute(IFLA_NET_NS_FD, &namespace, sizeof namespace);
    one_queue();
    close_nest(peer);
    close_nest(data);
    close_nest(info);
    end(message);
}

static void del_link(const char *name)
{
    struct ifinfomsg header = { 0 };
    size_t message = begin(RTM_DELLINK, 0, &header, sizeof header);

    text(IFLA_IFNAME, name);
    end(message);
}

/* ------------------------------------------------------------ what it does */

static int netlink_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        fail("netlink socket", errno);
    return fd;
}

/* The index of a link, or 0: of the namespace that the socket is of. */
static int index_of(int netlink, const char *name)
{
    struct ifreq request = { 0 };

    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    return ioctl(netlink, SIOCGIFINDEX, &request) ? 0 : request.ifr_ifindex;
}

static struct in_addr parsed(const char *word)
{
    struct in_addr value;

    if (inet_pton(AF_INET, word, &value) != 1)
        fail(word, EINVAL);
    return value;
}

static void add(const char *path, const char *name, struct in_addr own, struct in_addr gateway, int prefix,
                const char *bridge)
{
    int host = netlink_socket(), container, link, inside, port_of = 0;
    int there = open(path, O_RDONLY | O_CLOEXEC), here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    if (there < 0 || here < 0)
        fail(path, errno);
    if (bridge && !(port_of = index_of(host, bridge))) {
        new_bridge(bridge);
        send_all(host, "the bridge");
        port_of = index_of(host, bridge);
        address(port_of, gateway, prefix, RT_SCOPE_UNIVERSE, NLM_F_REPLACE);
    }
    new_pair(name, there, port_of);
    send_all(host, "the pair");
    link = index_of(host, name);

    if (setns(there, CLONE_NEWNET))
        fail(path, errno);
    container = netlink_socket();
    if (setns(here, CLONE_NEWNET))
        fail("the way back", errno);
    inside = index_of(container, "eth0");

    if (!bridge)
        address(link, gateway, 32, RT_SCOPE_HOST, NLM_F_EXCL);
    no_link_local(link);
    up(link);
    if (!bridge)
        route(link, &own, NULL, PROTOCOL, 0);
    send_all(host, "the host's side");

    no_link_local(inside);
    up(1); /* lo */
    address(inside, own, prefix, RT_SCOPE_UNIVERSE, NLM_F_EXCL);
    up(inside);
    route(inside, NULL, &gateway, RTPROT_STATIC, !bridge);
    send_all(container, "the container's side");
}

int main(int count, char **words)
{
    int bridged = count > 2 && !strcmp(words[2], "bridged");

    if (count == (bridged ? 9 : 7) && !strcmp(words[1], "add")) {
        int prefix = bridged ? atoi(words[7]) : 32;
        add(words[3], words[4], parsed(words[5]), parsed(words[6]), prefix, bridged ? words[8] : NULL);
        printf("{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"%s\"},{\"name\":\"eth0\",\"sandbox\":\"%s\"}],"
               "\"ips\":[{\"address\":\"%s/%d\",\"gateway\":\"%s\",\"interface\":1}],"
               "\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}\n",
               words[4], words[3], words[5], prefix, words[6]);
        return 0;
    }
    if ((count == 3 || count == 4) && !strcmp(words[1], "del")) {
        int host = netlink_socket();
        del_link(words[2]);
        if (count == 4)
            del_link(words[3]);
        send_all(host, "deletion");
        return 0;
    }
    fprintf(stderr, "usage: floor add routed NETNS HOSTLINK ADDRESS GATEWAY\n"
                    "       floor add bridged NETNS HOSTLINK ADDRESS GATEWAY LENGTH BRIDGE\n"
                    "       floor del HOSTLINK [BRIDGE]\n");
    return 2;
}
