//! Lists of a component, of which no more is read than can be of use.
//!
//! The generated bindings read a list whole before anybody can look at its length. That were some 290,000
//! small strings in the 17 MiB of one call: 20 to 35 ms during which nobody else on the thread goes on.

use wasmtime::{
    ValRaw,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext},
        ComponentType, Lift,
    },
};

/// A list: its first `MOST` elements, and the next one if there is one. So who checks its length finds it
/// too long; what follows is never read.
pub(crate) struct AtMost<T, const MOST: usize>(Vec<T>);

impl<T, const MOST: usize> AtMost<T, MOST> {
    /// How many elements are read of a list of this length.
    fn read(length: u32) -> u32 {
        length.min(u32::try_from(MOST).unwrap_or(u32::MAX).saturating_add(1))
    }
}

impl<T, const MOST: usize> From<AtMost<T, MOST>> for Vec<T> {
    fn from(list: AtMost<T, MOST>) -> Self {
        list.0
    }
}

/// Address and length of a list in a component's memory, where that wants them: aligned to 4 bytes.
#[repr(align(4))]
struct Place([u8; 8]);

// SAFETY: all of it is that of `Vec<T>`, which is a list, too.
unsafe impl<T: Lift, const MOST: usize> ComponentType for AtMost<T, MOST> {
    type Lower = [ValRaw; 2];

    const ABI: CanonicalAbiInfo = <Vec<T> as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <Vec<T> as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: it is read by `Vec<T>`, which checks address and length. The length is that of the component or
// less.
unsafe impl<T: Lift, const MOST: usize> Lift for AtMost<T, MOST> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        [address, length]: &[ValRaw; 2],
    ) -> wasmtime::Result<Self> {
        let length = Self::read(length.get_u32());
        Vec::linear_lift_from_flat(cx, ty, &[*address, ValRaw::u32(length)]).map(Self)
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> wasmtime::Result<Self> {
        let mut place = Place([0; 8]);
        place.0.copy_from_slice(bytes);
        let [.., a, b, c, d] = place.0;
        place.0[4..].copy_from_slice(&Self::read(u32::from_le_bytes([a, b, c, d])).to_le_bytes());
        Vec::linear_lift_from_memory(cx, ty, &place.0).map(Self)
    }
}
