/// One epoch of the server's history and the position it began after.
public struct Era: Hashable, Sendable {
    public let epoch: Epoch
    /// Positions above this one belong to `epoch`, until the next era begins.
    public let after: Position

    public init(epoch: Epoch, after: Position) {
        self.epoch = epoch
        self.after = after
    }
}

/// The epochs that a history went through, oldest first (rule I6). Never empty for a joined replica.
public struct Lineage: Hashable, Sendable {
    public var eras: [Era]

    public init(_ eras: [Era]) { self.eras = eras }

    public var epoch: Epoch? { eras.last?.epoch }

    /// The epoch in which `position` was given, or nil in an empty lineage.
    public func epoch(of position: Position) -> Epoch? {
        eras.last { $0.after < position }?.epoch ?? eras.first?.epoch
    }

    /// The end of the common part: positions up to here mean the same in both. Nil when nothing is common.
    /// `Position.max` when they are equal.
    public func common(with other: Lineage) -> Position? {
        var count = 0
        while count < eras.count, count < other.eras.count, eras[count] == other.eras[count] { count += 1 }
        guard count > 0 else { return nil }
        var end = Position.max
        if eras.count > count { end = min(end, eras[count].after) }
        if other.eras.count > count { end = min(end, other.eras[count].after) }
        return end
    }
}

/// Who wrote a value: everything needed to tell whether a later commit had seen it.
public struct Writer: Hashable, Sendable {
    public var position: Position
    /// The epoch in which `position` was given.
    public var epoch: Epoch
    public var dot: Dot
    public var stamp: HLC
    public var commit: CommitID

    public init(position: Position, epoch: Epoch, dot: Dot, stamp: HLC, commit: CommitID) {
        self.position = position
        self.epoch = epoch
        self.dot = dot
        self.stamp = stamp
        self.commit = commit
    }

    /// The total order that breaks ties between concurrent writers: stamp, then site, then seq (P7).
    public func isLater(than other: Writer) -> Bool {
        stamp != other.stamp ? stamp > other.stamp : dot > other.dot
    }
}

/// What the author of a commit had seen: an exact vector clock in a few bytes (rule C5).
///
/// It covers a writer if the writer's position lies on this clock's lineage at or below the anchor, or its dot
/// is at or below the entry of its site, or its commit is listed.
public struct VectorClock: Hashable, Sendable {
    /// The history that `anchor` belongs to; never cut (rule I7.1).
    public var lineage: Lineage
    /// The highest position whose whole prefix the author had applied.
    public var anchor: Position
    /// The author's own dots, and other sites' where clocks were merged: all of a site's dots up to the seq.
    /// Sorted by site, one entry a site.
    public private(set) var dots: [Dot]
    /// Earlier commits of the author under former dots, by id; sorted.
    public private(set) var former: [CommitID]

    public init(lineage: Lineage, anchor: Position, dots: [Dot] = [], former: [CommitID] = []) {
        self.lineage = lineage
        self.anchor = anchor
        self.dots = []
        self.former = Set(former).sorted()
        for dot in dots { insert(dot) }
    }

    /// How two commits stand to each other.
    public enum Order: String, Hashable, Sendable { case before, after, equal, concurrent }

    private mutating func insert(_ dot: Dot) {
        if let index = dots.firstIndex(where: { $0.site >= dot.site }) {
            if dots[index].site == dot.site {
                dots[index] = max(dots[index], dot)
            } else {
                dots.insert(dot, at: index)
            }
        } else {
            dots.append(dot)
        }
    }

    /// The highest seq of `site` that this clock names by its dot; 0 if none.
    public func seq(of site: SiteID) -> Sequence64 { dots.first { $0.site == site }?.seq ?? 0 }

    public func covers(_ writer: Writer) -> Bool {
        if writer.position <= anchor, lineage.epoch(of: writer.position) == writer.epoch { return true }
        if writer.dot.seq <= seq(of: writer.dot.site) { return true }
        return former.contains(writer.commit)
    }

    /// How the commit written by `writer` under this clock stands to another one (P10).
    public func order(of writer: Writer, to other: Writer, under otherClock: VectorClock) -> Order {
        if writer.commit == other.commit { return .equal }
        if covers(other) { return .after }
        if otherClock.covers(writer) { return .before }
        return .concurrent
    }

    /// Compares clocks themselves: what one saw against what the other saw.
    ///
    /// `position` tells where a dot stands in the shared history, if it stands there yet; without it a dot that
    /// one clock names and the other covers by its anchor alone counts as unseen.
    public func compare(_ other: VectorClock, position: (Dot) -> Position? = { _ in nil }) -> Order {
        let below = isAtMost(other, position: position)
        let above = other.isAtMost(self, position: position)
        switch (below, above) {
        case (true, true): return .equal
        case (true, false): return .before
        case (false, true): return .after
        case (false, false): return .concurrent
        }
    }

    private func isAtMost(_ other: VectorClock, position: (Dot) -> Position?) -> Bool {
        let common = lineage.common(with: other.lineage) ?? 0
        guard anchor <= other.anchor, anchor <= common || anchor == 0 else { return false }
        let dotsSeen = dots.allSatisfy { dot in
            if dot.seq <= other.seq(of: dot.site) { return true }
            guard let place = position(dot) else { return false }
            return place <= min(other.anchor, common)
        }
        return dotsSeen && former.allSatisfy { other.former.contains($0) }
    }

    /// The least clock that has seen what either had. Both must share a history at the larger anchor; where they
    /// do not, nil: anchors of different histories are never compared (rule C5).
    public func merged(with other: VectorClock) -> VectorClock? {
        let common = lineage.common(with: other.lineage) ?? 0
        let (low, high) = anchor <= other.anchor ? (self, other) : (other, self)
        guard low.anchor <= common || low.anchor == 0 else { return nil }
        return VectorClock(
            lineage: high.lineage, anchor: high.anchor, dots: dots + other.dots, former: former + other.former)
    }
}
