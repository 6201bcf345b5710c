//! Rate limits: queueing disciplines, and the way around by which what a container sends passes one.
//!
//! The kernel shapes what leaves by a link. What the container receives leaves by the host's end of the pair; what it
//! sends comes in there, and is redirected through an `ifb` link, which it leaves again. (Inside, where it leaves the
//! container's end, whoever is root in the container could take the limit away.)

use nix::errno::Errno;
use rtnetlink::packet_core::{DefaultNla, NLA_F_NESTED, Nla};
use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage, TcOption};

use super::attributes::{Attributes, attribute};
use super::endpoint::Endpoint;
use super::socket::{KernelError, Request};
use crate::plan::Rate;

/// Limits what leaves by a link, with the best discipline that the kernel has: `cake`; or `tbf`, with `fq_codel` in it
/// for the queue, or with a plain one. Which it was.
pub fn limit(endpoint: &Endpoint, index: u32, rate: &Rate) -> Result<&'static str, KernelError> {
    // With a handle of its own: the kernel does not change one kind into another under the same handle.
    let handle = TcHandle { major: 2, minor: 0 };
    match endpoint.socket.request(add(index, TcHandle::ROOT, handle, "cake", cake(rate))) {
        Ok(_) => return Ok("cake"),
        Err(error) if !is_missing(&error) => return Err(error),
        Err(_) => {}
    }
    endpoint.socket.request(add(index, TcHandle::ROOT, ROOT, "tbf", tbf(rate)))?;
    let class = TcHandle { major: ROOT.major, minor: 1 };
    match endpoint.socket.request(add(index, class, TcHandle::UNSPEC, "fq_codel", Vec::new())) {
        Ok(_) => Ok("tbf with fq_codel"),
        Err(error) if is_missing(&error) => Ok("tbf"),
        Err(error) => Err(error),
    }
}

/// One request for each discipline that [`limit`] may use, to try what the kernel has.
pub(super) fn each_discipline(index: u32) -> [(&'static str, Request); 3] {
    let rate = Rate { bits: 1_000_000, burst_bits: None };
    let at_root = |kind: &'static str, major: u16, options| {
        (kind, add(index, TcHandle::ROOT, TcHandle { major, minor: 0 }, kind, options))
    };
    [at_root("cake", 2, cake(&rate)), at_root("tbf", 1, tbf(&rate)), at_root("fq_codel", 3, Vec::new())]
}

/// Takes the limit of a link away: it gets its usual discipline back.
pub fn unlimit(endpoint: &Endpoint, index: u32) -> Result<(), KernelError> {
    let mut message = TcMessage::with_index(link_index(index));
    message.header.parent = TcHandle::ROOT;
    endpoint.socket.request(Request::plain(Message::DelQueueDiscipline(message))).map(drop)
}

/// Has what comes in by a link stay where it is.
pub fn undirect(endpoint: &Endpoint, index: u32) -> Result<(), KernelError> {
    let mut message = TcMessage::with_index(link_index(index));
    (message.header.parent, message.header.handle) = (TcHandle { major: 0xffff, minor: 0xfff1 }, INGRESS);
    endpoint.socket.request(Request::plain(Message::DelQueueDiscipline(message))).map(drop)
}

/// Has everything that comes in by a link leave by another one.
pub fn redirect(endpoint: &Endpoint, from: u32, to: u32) -> Result<(), KernelError> {
    endpoint.socket.request(add(from, TcHandle { major: 0xffff, minor: 0xfff1 }, INGRESS, "ingress", Vec::new()))?;
    let mut answer = Err(KernelError::of(Errno::ENOENT, "no filter"));
    for (kind, options) in [("matchall", matchall(to)), ("u32", u32_of_everything(to))] {
        answer = endpoint.socket.request(filter(from, kind, options));
        match &answer {
            Err(error) if is_missing(error) => {}
            _ => break,
        }
    }
    answer.map(drop)
}

/// The rate to which a link is limited, in bits a second.
pub fn rate_of(endpoint: &Endpoint, index: u32) -> Result<Option<u64>, KernelError> {
    let messages = endpoint.socket.dump(&Message::GetQueueDiscipline(TcMessage::with_index(link_index(index))))?;
    let mut rates = messages.iter().filter_map(|reply| match reply.message()? {
        Message::NewQueueDiscipline(message) if message.header.index == link_index(index) => read_rate(&message),
        _ => None,
    });
    Ok(rates.next())
}

/// Whether something is redirected from a link.
pub fn is_redirected(endpoint: &Endpoint, index: u32) -> Result<bool, KernelError> {
    let mut question = TcMessage::with_index(link_index(index));
    question.header.parent = INGRESS;
    match endpoint.socket.dump(&Message::GetTrafficFilter(question)) {
        Ok(messages) => Ok(messages.iter().any(|reply| matches!(reply.message(), Some(Message::NewTrafficFilter(_))))),
        Err(error) if error.is_absent() || error.errno == Errno::EINVAL as i32 => Ok(false),
        Err(error) => Err(error),
    }
}

const ROOT: TcHandle = TcHandle { major: 1, minor: 0 };
/// `TC_H_INGRESS` as a parent of filters.
const INGRESS: TcHandle = TcHandle { major: 0xffff, minor: 0 };

/// The kernel has no such discipline, filter or action, nor a module for it.
fn is_missing(error: &KernelError) -> bool {
    error.is_unsupported() || Errno::from_raw(error.errno) == Errno::ENOENT
}

fn link_index(index: u32) -> i32 {
    i32::try_from(index).unwrap_or(0)
}

fn add(index: u32, parent: TcHandle, handle: TcHandle, kind: &str, options: Vec<DefaultNla>) -> Request {
    let mut message = TcMessage::with_index(link_index(index));
    (message.header.parent, message.header.handle) = (parent, handle);
    message.attributes.push(TcAttribute::Kind(kind.to_owned()));
    if !options.is_empty() {
        message.attributes.push(TcAttribute::Options(options.into_iter().map(TcOption::Other).collect()));
    }
    Request::replace(Message::NewQueueDiscipline(message))
}

fn filter(index: u32, kind: &str, options: Vec<DefaultNla>) -> Request {
    let every_protocol = u32::from(0x0003u16.to_be()); // ETH_P_ALL
    let mut header = TcHeader::default();
    (header.index, header.parent, header.info) = (link_index(index), INGRESS, 1 << 16 | every_protocol);
    let mut message = TcMessage::default();
    message.header = header;
    message.attributes.push(TcAttribute::Kind(kind.to_owned()));
    message.attributes.push(TcAttribute::Options(options.into_iter().map(TcOption::Other).collect()));
    Request::create(Message::NewTrafficFilter(message))
}

/// `TCA_CAKE_BASE_RATE64`.
fn cake(rate: &Rate) -> Vec<DefaultNla> {
    vec![DefaultNla::new(2, rate.bytes().to_ne_bytes().to_vec())]
}

/// `TCA_TBF_PARMS` (`struct tc_tbf_qopt`), `TCA_TBF_BURST`, and `TCA_TBF_RATE64` where 32 bits are too few.
fn tbf(rate: &Rate) -> Vec<DefaultNla> {
    let (bytes, burst) = (rate.bytes(), rate.burst());
    let limit = narrow(rate.queue());
    // struct tc_ratespec: cell_log, linklayer (TC_LINKLAYER_ETHERNET), overhead, cell_align, mpu, rate.
    let spec = |bytes: u32| [&[0, 1, 0, 0, 0, 0, 0, 0][..], &bytes.to_ne_bytes()].concat();
    let buffer = 0u32; // replaced by the burst
    let params =
        [spec(narrow(bytes)), spec(0), limit.to_ne_bytes().to_vec(), buffer.to_ne_bytes().to_vec(), vec![0; 4]];
    let mut options =
        vec![DefaultNla::new(1, params.concat()), DefaultNla::new(6, narrow(burst).to_ne_bytes().to_vec())];
    if bytes > u64::from(u32::MAX) {
        options.push(DefaultNla::new(4, bytes.to_ne_bytes().to_vec()));
    }
    options
}

fn narrow(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// `TCA_MATCHALL_ACT`.
fn matchall(to: u32) -> Vec<DefaultNla> {
    vec![DefaultNla::new(2 | NLA_F_NESTED, redirection(to))]
}

/// `TCA_U32_SEL` (`struct tc_u32_sel` with one key that matches everything) and `TCA_U32_ACT`.
fn u32_of_everything(to: u32) -> Vec<DefaultNla> {
    let terminal = [1u8, 0, 1, 0]; // flags (TC_U32_TERMINAL), offshift, nkeys
    let selector = [&terminal[..], &[0; 12], &[0; 16]].concat();
    vec![DefaultNla::new(5, selector), DefaultNla::new(7 | NLA_F_NESTED, redirection(to))]
}

/// One action `mirred` that takes the packet away to leave by another link (`TCA_EGRESS_REDIR`, `TC_ACT_STOLEN`).
fn redirection(to: u32) -> Vec<u8> {
    let params = [0u32, 0, 4, 0, 0, 1, to].map(u32::to_ne_bytes).concat(); // struct tc_mirred
    let mut actions = Attributes::default();
    actions.nest(1, |action| {
        action.put_text(1, "mirred");
        action.nest(2, |options| options.put(2, &params)); // TCA_MIRRED_PARMS
    });
    actions.into_bytes()
}

/// The rate of `cake` or `tbf`, in bits a second.
pub(super) fn read_rate(message: &TcMessage) -> Option<u64> {
    let kind = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    })?;
    // Of kinds that it does not know, the crate keeps the options as they came.
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.first(),
        _ => None,
    })?;
    let mut raw = vec![0; options.value_len()];
    options.emit_value(&mut raw);
    let value = |wanted: u16| attribute(&raw, wanted);
    let wide = |bytes: &[u8]| Some(u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?));
    let bytes = match kind {
        "cake" => wide(value(2)?)?,
        "tbf" => match value(4).and_then(wide) {
            Some(rate) => rate,
            None => u64::from(u32::from_ne_bytes(value(1)?.get(8..12)?.try_into().ok()?)),
        },
        _ => return None,
    };
    Some(bytes.saturating_mul(8))
}
