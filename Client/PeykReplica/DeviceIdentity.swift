public import PeykModel
public import PeykSession

/// The certificate of this replica, and which of the device's keys it is for (rule I3).
extension Replica {
    /// Where a key of the replica's own is written, before the server has certified it: one file a site, so that a copy
    /// of this folder never takes over a key that the original is about to use. The key that the device enrolled with
    /// stays where it is: an image of the file from before would need it.
    public static func newDeviceKeyPath(_ home: String, site: SiteID) -> String {
        home + "/device.key.\(site.description)"
    }

    /// The public half of the key that the certificate is for; nil while it is the one that the device enrolled with.
    public func certifiedKey() throws -> [UInt8]? { try reading { try Meta(connection: $0).blob(.deviceKey) } }

    /// Keeps the certificate for the replica's own key. The caller has written the key; from this transaction on
    /// ``certifiedKey()`` says which of the device's keys is in use, whenever the power fails.
    public func store(_ rekeyed: Rekeyed) throws {
        try changing { connection in
            let meta = Meta(connection: connection)
            try meta.set(.certificate, rekeyed.certificate)
            try meta.set(.deviceKey, rekeyed.deviceKey)
        }
    }
}
