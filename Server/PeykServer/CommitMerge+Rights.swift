import PeykMerge
import PeykModel

/// By what right a change enters (rule S4).
enum Right {
    case held
    /// By the audience and the grant as of the commit's anchor: the record has moved, or the buckets have.
    case handedOff
    case none
}

extension CommitMerge {
    func right(of change: Change, _ key: RecordKey, _ stored: StoredRecord?, _ table: Table) throws -> Right {
        guard case .user = author else { return .held }
        if let stored, stored.state.isAlive || change.kind != .insert {
            let right = try right(toWrite: key, stored)
            guard right != .none, change.kind == .update else { return right }
            return try rightToPlace(change, right)
        }
        guard let row = plainEffect(of: change, on: nil, in: table) else { return .none }
        return try rightToInsert(key, row, stored)
    }

    /// A record that stays where it is is judged by its own audience; a new parent must be the author's as well.
    private func rightToPlace(_ change: Change, _ right: Right) throws -> Right {
        var right = right
        for reference in references(of: change) where reference.isParent {
            guard let parent = try current(reference.target) else { return .none }
            switch try self.right(toWrite: reference.target, parent) {
            case .held: continue
            case .handedOff: right = .handedOff
            case .none: return .none
            }
        }
        return right
    }

    private func rightToInsert(_ key: RecordKey, _ row: Row, _ stored: StoredRecord?) throws -> Right {
        guard let grant = presentGrant else { return .held }
        // A dead record comes back with what it was, so only who could write that may insert its id again (P20).
        if let stored, try right(toWrite: key, stored) == .none { return .none }
        let audience = try firstAudience(key, row, isNew: stored == nil)
        if grant.writes(audience) { return .held }
        if anchorGrant?.writes(audience) == true { return .handedOff }
        guard let parent = rules.parent(table: key.table, row: row) else { return .none }
        let parentKey = RecordKey(table: parent.table, record: parent.record)
        guard let record = try current(parentKey) else { return .none }
        return try right(toWrite: parentKey, record)
    }

    func right(toWrite key: RecordKey, _ stored: StoredRecord) throws -> Right {
        guard let grant = presentGrant else { return .held }
        if let known = rights[key] { return known }
        var right = Right.none
        if grant.writes(stored.audience) {
            right = .held
        } else if let then = anchorGrant, let audience = try audienceAtAnchor(key, stored),
            then.writes(audience)
        {
            right = .handedOff
        } else if try isOwnSinceAnchor(key, stored),
            let parent = rules.parent(table: key.table, row: stored.state.row)
        {
            // Her own new record entered by the right to its parent, and so does what she wrote to it since.
            rights[key] = Right.none
            let parentKey = RecordKey(table: parent.table, record: parent.record)
            if let record = try current(parentKey), try self.right(toWrite: parentKey, record) != .none {
                right = .handedOff
            }
        }
        rights[key] = right
        return right
    }

    /// Whether the author inserted the record, and the server knows it only from after the commit's anchor.
    private func isOwnSinceAnchor(_ key: RecordKey, _ stored: StoredRecord) throws -> Bool {
        guard stored.insertedBy != nil, stored.insertedBy == userID else { return false }
        return try transaction.positions(of: key).first.map { $0 > anchor } ?? true
    }

    /// Whether the author sees the record, or saw it (rule D3).
    func canSee(_ key: RecordKey, _ stored: StoredRecord) throws -> Bool {
        guard let grant = presentGrant else { return true }
        if grant.reads(stored.audience) || stored.insertedBy == userID { return true }
        guard let then = anchorGrant, let audience = try audienceAtAnchor(key, stored) else { return false }
        return then.reads(audience)
    }

    /// The record's audience as the author could know it: as of the anchor, or as she had inserted it since.
    private func audienceAtAnchor(_ key: RecordKey, _ stored: StoredRecord) throws -> Audience? {
        guard let next = try transaction.positions(of: key).first(where: { $0 > anchor }) else {
            // Nothing has happened to it since, but perhaps in this commit.
            return touches[key]?.before?.audience ?? stored.audience
        }
        guard let effect = try entry(next)?.effects.first(where: { $0.key == key }) else { return nil }
        if let before = effect.audienceBefore { return before }
        return stored.insertedBy == userID ? effect.audienceAfter : nil
    }

    /// A former entry of the log, read once.
    func entry(_ position: Position) throws -> LogEntry? {
        if let known = entries[position] { return known }
        let entry = try transaction.entry(at: position)
        entries[position] = entry
        return entry
    }
}
