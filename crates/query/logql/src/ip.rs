//! Addresses, networks and spans of addresses, and finding them in text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What `ip("…")` names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct IpPattern {
    first: IpAddr,
    last: IpAddr,
}

impl IpPattern {
    /// Reads an address, a span (`a-b`) or a network (`a/8`).
    pub(crate) fn parse(text: &str) -> Result<IpPattern, String> {
        IpPattern::read(text).ok_or_else(|| format!("ip: invalid pattern: {text:?}"))
    }

    fn read(text: &str) -> Option<IpPattern> {
        if let Some((first, last)) = text.split_once('-') {
            let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
            let sound = first.is_ipv4() == last.is_ipv4() && first <= last;
            return sound.then_some(IpPattern { first, last });
        }
        let Some((address, bits)) = text.split_once('/') else {
            let address: IpAddr = text.parse().ok()?;
            return Some(IpPattern { first: address, last: address });
        };
        let bits: u32 = bits.parse().ok()?;
        Some(match address.parse().ok()? {
            IpAddr::V4(address) if bits <= 32 => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                let low = u32::from(address) & !host;
                IpPattern { first: Ipv4Addr::from(low).into(), last: Ipv4Addr::from(low | host).into() }
            }
            IpAddr::V6(address) if bits <= 128 => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let low = u128::from(address) & !host;
                IpPattern { first: Ipv6Addr::from(low).into(), last: Ipv6Addr::from(low | host).into() }
            }
            _ => return None,
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether any address in the text is one of these.
    pub(crate) fn found_in(&self, text: &str) -> bool {
        let part: fn(u8) -> bool = match self.first {
            IpAddr::V4(_) => |b| b.is_ascii_digit() || b == b'.',
            IpAddr::V6(_) => |b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':'),
        };
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if !part(bytes[at]) {
                at += 1;
                continue;
            }
            let end = at + bytes[at..].iter().take_while(|b| part(**b)).count();
            // All of a run is ASCII.
            if end - at >= 2 && self.found_in_run(&text[at..end]) {
                return true;
            }
            at = end;
        }
        false
    }

    /// A run of what addresses are made of. What comes before an address (`1192.0.0.1`), and a full stop or colon
    /// after it, is left out.
    fn found_in_run(&self, run: &str) -> bool {
        let longest = if self.first.is_ipv4() { 15 } else { 45 };
        let trimmed = if run.ends_with("::") { run } else { run.trim_end_matches(['.', ':']) };
        let first = trimmed.len().saturating_sub(longest);
        let address = (first..trimmed.len()).find_map(|start| trimmed[start..].parse::<IpAddr>().ok());
        address.is_some_and(|address| self.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, want: bool) {
        assert_eq!(IpPattern::parse(pattern).expect(pattern).found_in(text), want, "{pattern} in {text:?}");
    }

    #[test]
    fn addresses_in_text() {
        check("10.0.0.0/8", "client 10.0.0.7:80", true);
        check("10.0.0.0/8", "client 11.0.0.7:80", false);
        check("192.168.4.5-192.168.4.20", "from 192.168.4.6.", true);
        check("::1", "from [::1]:80", true);
        check("2001:db8::/32", "x 2001:db8::8 y", true);
        check("192.168.0.1", "1192.168.0.1", true);
        check("2001:db8::/32", "at:2001:db8::", true);
        check("0.0.0.0/0", "no address 1.2.3", false);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "notanip", "1.2.3.4/33", "::1/129", "2.0.0.0-1.0.0.0", "1.1.1.1-::1", "1.2.3.4/", "-"] {
            assert!(IpPattern::parse(text).is_err(), "{text}");
        }
    }
}
