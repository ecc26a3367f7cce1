//! The generator's packet: a template of 60 bytes (Ethernet, IPv4, UDP, 18 bytes of payload) with the source of the flow
//! whose turn it is.

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};

/// Bytes of a frame.
const LENGTH: usize = 60;

/// The template, 60 of 64 bytes, in which source address, source port and both checksums are 0.
#[unsafe(no_mangle)]
static FRAME: Global<[u64; 8]> = Global::new([0; 8]);
/// Sum of the template's IPv4 header, as 16-bit words in host byte order.
#[unsafe(no_mangle)]
static IP_SUM: Global<u32> = Global::new(0);
/// Sum of the template's UDP header, payload and pseudo header.
#[unsafe(no_mangle)]
static UDP_SUM: Global<u32> = Global::new(0);
/// First source address, in host byte order.
#[unsafe(no_mangle)]
static ADDRESS: Global<u32> = Global::new(0);
/// How many source addresses, a power of two.
#[unsafe(no_mangle)]
static ADDRESSES: Global<u32> = Global::new(1);
/// First source port.
#[unsafe(no_mangle)]
static PORT: Global<u32> = Global::new(0);
/// How many source ports. Flows are addresses times ports, the ports of an address first.
#[unsafe(no_mangle)]
static PORTS: Global<u32> = Global::new(1);

/// What a packet's number is multiplied with to get its flow's: 1 for one after the other, a large odd number for all over
/// the place.
#[unsafe(no_mangle)]
static STRIDE: Global<u32> = Global::new(1);
/// Whether packets are the SYNs of TCP connections: then the template is one, and `UDP_SUM` that of its TCP header.
#[unsafe(no_mangle)]
pub(crate) static SYNS: Global<u32> = Global::new(0);

/// How many packets have been made.
#[btf_map]
static MADE: Array<u64, 1> = Array::new();

/// Writes all of the next packet, as a frame comes back from the page pool the way the data path left it.
#[inline(always)]
pub(crate) fn write_next(start: usize, end: usize) -> bool {
    if start + LENGTH > end {
        return false;
    }
    let Some(made) = MADE.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: one CPU generates.
    let made = unsafe { &mut *made };
    let turn = (*made as u32).wrapping_mul(STRIDE.load());
    *made += 1;

    // Never 0; to say so saves a panic that no program may have.
    let ports = PORTS.load().max(1);
    let port = PORT.load() + turn % ports;
    let address = ADDRESS.load() + ((turn / ports) & (ADDRESSES.load() - 1));
    let source = (address >> 16) + (address & 0xffff);

    let template = FRAME.load();
    let words = start as *mut u64;
    for (index, word) in template.iter().take(7).enumerate() {
        // SAFETY: within the 60 bytes that were checked; frames begin at a multiple of 8.
        unsafe { words.add(index).write_volatile(*word) };
    }
    // SAFETY: as above, the last 4 bytes.
    unsafe { words.add(7).cast::<u32>().write_volatile(template[7] as u32) };
    write(start, 24, checksum(IP_SUM.load() + source));
    write(start, 26, (address >> 16) as u16);
    write(start, 28, address as u16);
    write(start, 34, port as u16);
    // In UDP, 0 stands for no checksum.
    let sum = checksum(UDP_SUM.load() + source + port);
    if SYNS.load() == 0 {
        write(start, 40, if sum == 0 { 0xffff } else { sum });
    } else {
        write(start, 50, sum);
    }
    true
}

/// Ones' complement of the ones' complement sum.
#[inline(always)]
pub(crate) fn checksum(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

#[inline(always)]
fn write(start: usize, offset: usize, value: u16) {
    // SAFETY: callers name offsets within the frame that was checked.
    unsafe { ((start + offset) as *mut u16).write_volatile(value.to_be()) };
}
