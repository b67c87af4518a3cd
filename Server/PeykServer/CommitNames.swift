import PeykModel
import PeykSession

/// Under which positions of which epochs a commit stood: what replicas that followed those epochs have told
/// (rule I7.2). Kept by the commit's id, whether or not the commit has come back.
struct CommitNames: Hashable {
    static let collection = "name"

    struct Place: Hashable, Comparable {
        var epoch: Epoch
        var position: Position

        static func < (left: Self, right: Self) -> Bool {
            left.epoch != right.epoch ? left.epoch < right.epoch : left.position < right.position
        }
    }

    var commit: CommitID
    /// Sorted.
    var places: [Place]

    /// Epochs are few; a peer cannot make a document grow without end.
    static let placesMax = 256

    mutating func insert(_ place: Place) -> Bool {
        guard places.count < Self.placesMax, !places.contains(place) else { return false }
        places.append(place)
        places.sort()
        return true
    }
}

extension StoreReader {
    /// The names of a commit; empty where nobody told any.
    func names(of commit: CommitID) throws -> CommitNames {
        var names = CommitNames(commit: commit, places: [])
        guard let bytes = try document(CommitNames.collection, commit.description) else { return names }
        var reader = ByteReader(bytes)
        do {
            while !reader.isAtEnd {
                let epoch = Epoch(bits: try reader.bits())
                names.places.append(CommitNames.Place(epoch: epoch, position: try reader.natural()))
            }
        } catch {
            throw StoreError.corrupt("the names of commit \(commit)")
        }
        return names
    }
}

extension StoreTransaction {
    func set(_ names: CommitNames) throws {
        var writer = ByteWriter(capacity: names.places.count * 24)
        for place in names.places {
            writer.bits(place.epoch.bits)
            writer.varint(UInt64(bitPattern: place.position))
        }
        try setDocument(CommitNames.collection, names.commit.description, writer.bytes)
    }
}

extension Committer {
    /// Names of positions on our own history are known here anyway; a replica may only add what we lack.
    func takeNames(_ push: PushRequest, _ site: inout SiteDocument) throws {
        for name in push.names where name.position > 0 && identity.lineage.epoch(of: name.position) != name.epoch {
            var names = try transaction.names(of: name.commit)
            let place = CommitNames.Place(epoch: name.epoch, position: name.position)
            if names.insert(place) { try transaction.set(names) }
        }
        if push.endsNames { site.owesNames = false }
    }
}
