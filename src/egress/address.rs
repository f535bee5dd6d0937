//! Which addresses may be connected to.
//!
//! The server sits inside networks that callers and programs must not see: its own machine, the company's
//! network, the cloud's metadata service. So only addresses of the public internet pass; every
//! range with another purpose, and every IPv6 form that carries an IPv4 address inside, is refused
//! whatever is behind it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::hosts::HostRule;

/// Kinds of addresses that are nobody's service, whatever the operator allows a name to be: where a
/// name leads is up to whoever answers for it. By number they can be allowed.
const NEVER_BY_NAME: [&str; 4] = ["link-local", "multicast", "broadcast", "unspecified"];

/// IPv4 ranges that are not the public internet (the IANA special-purpose registry), the narrower
/// before the wider.
const REFUSED_V4: [(Ipv4Addr, u32, &str); 19] = [
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "multicast tunnels"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// IPv6 ranges that are not the public internet, the narrower before the wider.
const REFUSED_V6: [(Ipv6Addr, u32, &str); 22] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (v6([0, 0, 0, 0, 0, 0xffff]), 96, "IPv4-mapped"),
    (v6([0, 0, 0, 0, 0xffff, 0]), 96, "IPv4-translated"),
    (v6([0, 0, 0, 0, 0, 0]), 96, "IPv4-compatible"),
    (v6([0x0064, 0xff9b, 0, 0, 0, 0]), 96, "NAT64"),
    (v6([0x0064, 0xff9b, 1, 0, 0, 0]), 48, "local NAT64"),
    (v6([0x0100, 0, 0, 0, 0, 0]), 64, "discard"),
    (v6([0x0100, 0, 0, 1, 0, 0]), 64, "dummy"),
    (v6([0x2001, 0, 0, 0, 0, 0]), 32, "Teredo"),
    (v6([0x2001, 0x0002, 0, 0, 0, 0]), 48, "benchmarking"),
    (v6([0x2001, 0x0db8, 0, 0, 0, 0]), 32, "documentation"),
    (v6([0x2001, 0, 0, 0, 0, 0]), 23, "protocol assignments"),
    (v6([0x2002, 0, 0, 0, 0, 0]), 16, "6to4"),
    (v6([0x2620, 0x004f, 0x8000, 0, 0, 0]), 48, "AS112"),
    (v6([0x3fff, 0, 0, 0, 0, 0]), 20, "documentation"),
    (v6([0x5f00, 0, 0, 0, 0, 0]), 16, "segment routing"),
    (v6([0xfc00, 0, 0, 0, 0, 0]), 7, "unique local"),
    (v6([0xfe80, 0, 0, 0, 0, 0]), 10, "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0]), 10, "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0]), 8, "multicast"),
    (v6([0xfe00, 0, 0, 0, 0, 0]), 9, "reserved"),
];

/// All of IPv6 that is given out for the public internet so far; the rest is reserved.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (v6([0x2000, 0, 0, 0, 0, 0]), 3);

/// An address by the first six of its eight groups.
const fn v6(first: [u16; 6]) -> Ipv6Addr {
    Ipv6Addr::new(first[0], first[1], first[2], first[3], first[4], first[5], 0, 0)
}

/// Why an address is refused, as the kind of its range. `None`: it is public.
pub fn refused_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => REFUSED_V4
            .iter()
            .find(|(network, length, _)| same_prefix_v4(address, *network, *length))
            .map(|(_, _, kind)| *kind),
        IpAddr::V6(address) => REFUSED_V6
            .iter()
            .find(|(network, length, _)| same_prefix_v6(address, *network, *length))
            .map(|(_, _, kind)| *kind)
            .or_else(|| {
                let (network, length) = GLOBAL_UNICAST;
                (!same_prefix_v6(address, network, length)).then_some("reserved")
            }),
    }
}

fn same_prefix_v4(address: Ipv4Addr, network: Ipv4Addr, length: u32) -> bool {
    let differing = address.to_bits() ^ network.to_bits();
    differing.leading_zeros() >= length
}

fn same_prefix_v6(address: Ipv6Addr, network: Ipv6Addr, length: u32) -> bool {
    let differing = address.to_bits() ^ network.to_bits();
    differing.leading_zeros() >= length
}

/// Which addresses may be connected to.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    exceptions: BTreeSet<SocketAddr>,
    hosts: Vec<HostRule>,
}

impl AddressPolicy {
    /// The public internet alone: the policy of the program, whatever its configuration.
    pub fn public_only() -> Self {
        Self::default()
    }

    /// Allows one address and port besides: for tests that serve files on loopback.
    #[must_use]
    pub fn with_exception(mut self, address: SocketAddr) -> Self {
        self.exceptions.insert(address);
        self
    }

    /// Allows hosts besides, although they are not on the public internet; without a port: on each.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = HostRule>) -> Self {
        self.hosts.extend(hosts);
        self
    }

    /// Why none of the addresses of a host, as `hosts::canonical` writes it, may be connected
    /// to: one that is not public spoils them all, or a name with two addresses would let its owner
    /// choose.
    ///
    /// # Errors
    /// The kind of the first range that is refused.
    pub fn check(&self, host: &str, addresses: &[SocketAddr]) -> Result<(), &'static str> {
        for address in addresses {
            let Some(kind) = refused_range(address.ip()) else { continue };
            let by_host = self.hosts.iter().any(|rule| {
                rule.excepts(host, address.port())
                    && (rule.names_address() || !NEVER_BY_NAME.contains(&kind))
            });
            if !by_host && !self.exceptions.contains(address) {
                return Err(kind);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_passes() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "0.255.255.255",
            "10.0.0.0",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.0",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.8",
            "192.0.0.192",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.1.1",
            "192.168.255.255",
            "192.175.48.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "233.252.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "254.1.1.1",
            "255.255.255.254",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::1",
            "64:ff9b::7f00:1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "64:ff9b:1:ffff::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:ce49:7601::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2001:db8:ffff::1",
            "2002::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "2620:4f:8000::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fdff:ffff::1",
            "fe00::1",
            "fe80::1",
            "fe80::1:2",
            "febf::1",
            "fec0::1",
            "feff::1",
            "ff00::1",
            "ff02::1",
            "1::1",
            "200::1",
            "4000::1",
            "8000::1",
            "c000::1",
        ];
        for address in refused {
            let parsed: IpAddr = address.parse().unwrap();
            assert!(refused_range(parsed).is_some(), "{address} passes");
        }
        assert!(refused.len() >= 60);
    }

    #[test]
    fn neighbours_of_refused_ranges_pass() {
        for address in [
            "1.0.0.0",
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.215.14",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "2620:4f:7fff::1",
            "2a00:1450:4001::200e",
            "3ffe::1",
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(refused_range(parsed), None, "{address} is refused");
        }
    }

    #[test]
    fn ranges_are_named() {
        for (address, kind) in [
            ("127.0.0.1", "loopback"),
            ("::1", "loopback"),
            ("169.254.169.254", "link-local"),
            ("100.64.0.1", "carrier-grade NAT"),
            ("::ffff:8.8.8.8", "IPv4-mapped"),
            ("64:ff9b::1", "NAT64"),
            ("2002::1", "6to4"),
            ("2001:0:1::1", "Teredo"),
            ("fd00::1", "unique local"),
            ("4000::1", "reserved"),
        ] {
            assert_eq!(refused_range(address.parse().unwrap()), Some(kind), "{address}");
        }
    }

    #[test]
    fn one_private_address_spoils_all() {
        let public: SocketAddr = "8.8.8.8:80".parse().unwrap();
        let private: SocketAddr = "10.0.0.1:80".parse().unwrap();
        let policy = AddressPolicy::public_only();
        assert_eq!(policy.check("host.test", &[public]), Ok(()));
        assert_eq!(policy.check("host.test", &[public, private]), Err("private"));
        assert_eq!(policy.check("host.test", &[private, public]), Err("private"));
    }

    #[test]
    fn an_exception_is_one_address_and_port() {
        let fixture: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let policy = AddressPolicy::public_only().with_exception(fixture);
        assert_eq!(policy.check("host.test", &[fixture]), Ok(()));
        assert_eq!(
            policy.check("host.test", &["127.0.0.1:4001".parse().unwrap()]),
            Err("loopback")
        );
        assert_eq!(
            policy.check("host.test", &["127.0.0.2:4000".parse().unwrap()]),
            Err("loopback")
        );
    }
}
