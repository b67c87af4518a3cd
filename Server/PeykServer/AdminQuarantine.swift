import PeykModel
import PeykSession

// What devices that were shut out have handed in, and IT's word on it (rule S4).
extension Admin {
    func quarantine(_ reader: any StoreReader, all: Bool) throws -> JSON {
        let names = AdminNames(reader)
        return .array(
            try reader.documents(QuarantineDocument.self).filter { all || $0.state == .waiting }.map {
                line($0, names, changes: try changes(of: $0, reader))
            })
    }

    private func line(_ document: QuarantineDocument, _ names: AdminNames, changes: [JSON]?) -> JSON {
        var members: [String: JSON] = [
            "commit": .string(document.commit.description), "site": .string(document.dot.site.description),
            "seq": .integer(document.dot.seq), "user": .string(names.user(document.user.description)),
            "device": names.device(document.dot.site.description).map { .string($0) } ?? .null,
            "written_at": .integer(document.stamp.milliseconds), "arrived_at": .integer(document.arrivedAt),
            "bytes": .integer(document.bytes), "state": .string(document.state.rawValue),
            "position": document.position == 0 ? .null : .integer(document.position),
        ]
        if let changes {
            members["changes"] = .integer(Int64(changes.count))
            members["records"] = .array(changes.prefix(20).compactMap { $0["record"] })
        }
        return .object(members)
    }

    /// Nil where the commit itself is gone, since it was released.
    private func changes(of document: QuarantineDocument, _ reader: any StoreReader) throws -> [JSON]? {
        guard document.position == 0, let commit = try? reader.quarantinedCommit(document),
            let body = try? CommitBody(decoding: commit.sealed)
        else { return nil }
        return body.changes.map { change in
            guard let table = reader.schema.table(at: change.table) else {
                return ["record": .string("?/\(change.record)"), "kind": "unknown", "values": [:]]
            }
            var values: [String: JSON] = [:]
            for write in change.cells {
                guard let cell = table.cell(tag: write.cell) else { continue }
                values[cell.name] = write.write.shown
            }
            return [
                "record": .string("\(table.name)/\(change.record)"), "kind": .string("\(change.kind)"),
                "values": .object(values),
            ]
        }
    }

    func quarantined(_ text: String, _ reader: any StoreReader) throws -> JSON {
        let names = AdminNames(reader)
        return .array(
            try matching(text, reader).map { document in
                let changes = try changes(of: document, reader)
                guard case .object(var members) = line(document, names, changes: changes) else { return .null }
                members["changes"] = changes.map { .array($0) } ?? .null
                members["records"] = nil
                return .object(members)
            })
    }

    /// Quarantined commits of a site, or one by its id; each by the first digits.
    private func matching(_ text: String, _ reader: any StoreReader) throws -> [QuarantineDocument] {
        let text = text.lowercased()
        let found = try reader.documents(QuarantineDocument.self).filter {
            $0.dot.site.description.hasPrefix(text) || $0.commit.description.hasPrefix(text)
        }
        guard !text.isEmpty, !found.isEmpty else {
            throw AdminFailure(.missing, "Nothing in quarantine begins with “\(text)”. See “peykd quarantine list”.")
        }
        guard Set(found.map(\.dot.site)).count == 1 else {
            throw AdminFailure(.usage, "Several devices begin with “\(text)”; give more of the site or commit.")
        }
        return found
    }

    func decide(_ decision: QuarantineDocument.State, _ text: String) throws -> JSON {
        let found = try workspace.store.read { try matching(text, $0) }
        guard let first = found.first else { return [] }
        let isSite = first.dot.site.description.hasPrefix(text.lowercased())
        guard isSite || found.count == 1 else {
            throw AdminFailure(.usage, "Several commits begin with “\(text)”; give more of the id.")
        }
        let decided = try workspace.decide(decision, site: first.dot.site, commit: isSite ? nil : first.commit)
        guard !decided.isEmpty else {
            throw AdminFailure(.data, "It was decided before: see “peykd quarantine list --all”. Nothing was changed.")
        }
        return try workspace.store.read { reader in
            let names = AdminNames(reader)
            return .array(
                try decided.map { document in
                    guard case .object(var members) = line(document, names, changes: nil) else { return .null }
                    let answer = try reader.entry(at: document.position)?.answer
                    members["verdict"] = answer.map { .string("\($0.verdict)") } ?? .null
                    members["notices"] = .array((answer?.notices ?? []).map { .string($0.code.rawValue) })
                    return .object(members)
                })
        }
    }
}

extension CellWrite {
    /// As IT reads it in a list.
    var shown: JSON {
        switch self {
        case .assign(let values): values.count == 1 ? JSON(values[0]) : .array(values.map { JSON($0) })
        default: .string("\(self)")
        }
    }
}
