//! A connection as one tenant may use it.

use larder_common::TenantName;

/// A connection with the tenant whose rows it reads and changes. All statements of an index run through
/// one, and compare the tenant of each row.
pub(super) struct TenantConnection<'a, C> {
    pub(super) connection: &'a mut C,
    tenancy: Tenancy<'a>,
}

/// The tenant of a connection.
#[derive(Clone, Copy)]
pub(super) struct Tenancy<'a>(&'a TenantName);

impl<'a> Tenancy<'a> {
    /// The tenant, as a parameter.
    pub(super) fn tenant(self) -> &'a [u8] {
        self.0.as_str().as_bytes()
    }

    /// The same tenant in a transaction.
    pub(super) fn on<C>(self, transaction: &'a mut C) -> TenantConnection<'a, C> {
        TenantConnection { connection: transaction, tenancy: self }
    }
}

impl<'a, C> TenantConnection<'a, C> {
    pub(super) fn new(connection: &'a mut C, name: &'a TenantName) -> Self {
        Self { connection, tenancy: Tenancy(name) }
    }

    /// The tenant, as a parameter.
    pub(super) fn tenant(&self) -> &'a [u8] {
        self.tenancy.tenant()
    }

    pub(super) fn tenancy(&self) -> Tenancy<'a> {
        self.tenancy
    }
}
