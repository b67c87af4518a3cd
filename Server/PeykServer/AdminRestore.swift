import PeykModel

/// Backups, epochs and the refill, for IT.
extension Admin {
    /// What `status` says of them (rules I5, I8, I10).
    func restoreStatus(_ reader: any StoreReader) throws -> [String: JSON] {
        let now = workspace.environment.now()
        let backups = try reader.backups()
        let created = try reader.workspaceDocument().createdAt
        let last = backups.items.last?.time
        var members: [String: JSON] = [
            "last_backup": last.map { .integer($0) } ?? .null,
            "backup_due": .bool(now - (last ?? created) > BackupRule.warnAfter),
            "backups": .array(
                backups.items.map { item in
                    [
                        "path": .string(item.path), "position": .integer(item.position),
                        "written_at": .integer(item.time), "bytes": .integer(item.bytes),
                    ]
                }),
            "epochs": .array(
                try reader.workspaceDocument().lineage.eras.map { era in
                    ["epoch": .string(era.epoch.description), "after": .integer(era.after)]
                }),
            "waiting": .integer(Int64(try reader.waitingCommits().count)),
        ]
        members["rolled_back"] =
            try reader.rollback().map { proof in
                [
                    "detected_at": .integer(proof.detectedAt), "site": .string(proof.site.description),
                    "lost": .integer(proof.lost), "common": .integer(proof.common),
                ]
            } ?? .null
        members["refill"] = try refill(reader)
        return members
    }

    func refill(_ reader: any StoreReader) throws -> JSON {
        guard let refill = try RefillStatus(reader) else { return .null }
        let names = Dictionary(try reader.documents(UserDocument.self).map { ($0.id, $0.name) }) { first, _ in first }
        return [
            "open": .bool(refill.isOpen), "opened_at": .integer(refill.openedAt),
            "closed_at": refill.closedAt.map { .integer($0) } ?? .null, "fork": .integer(refill.fork),
            "waiting": .integer(Int64(refill.waiting)), "waiting_deletes": .integer(Int64(refill.waitingDeletes)),
            "awaited": .array(
                refill.awaited.map { device in
                    [
                        "site": .string(device.site.description),
                        "user": .string(names[device.user] ?? device.user.description),
                        "device": .string(device.deviceName), "last_contact": .integer(device.lastContact),
                        "begun": .bool(device.hasBegun),
                    ]
                }),
        ]
    }

    func closeRefill() throws -> JSON {
        guard let count = try workspace.closeRefill() else {
            throw AdminFailure(.data, "No refill is open. Nothing was changed.")
        }
        return ["closed": true, "waited": .integer(Int64(count))]
    }

    func supersede(_ text: String) throws -> JSON {
        guard let epoch = Epoch(text.lowercased()) else {
            throw AdminFailure(.usage, "“\(text)” is no epoch; a device that is refused names it in full.")
        }
        guard try workspace.supersede(epoch) else {
            throw AdminFailure(.data, "That epoch is part of this workspace's own history. Nothing was changed.")
        }
        return ["superseded": .string(epoch.description)]
    }
}
