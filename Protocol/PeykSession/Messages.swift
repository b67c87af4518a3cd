public import PeykModel

/// What a client sends (protocol.md §3).
public enum ClientMessage: Hashable, Sendable {
    case enrol(Enrol)
    case hello(Hello)
    /// A key of its own, for a replica that shares one with another (rule I3).
    case rekey(Rekey)
    /// What was seen of a history that the server does not have (rule I7.2).
    case names(Names)
    case push(Push)
    /// The server may send this many more bytes of batches and pages.
    case credit(bytes: Int64)
    /// Everything up to here is stored, and every commit of ours anchored below has its answer: what was kept for this
    /// replica up to here may be dropped (rules A2, T1).
    case applied(position: Position)
    /// Whole records, where a delta did not fit or a digest differed (rules K7, M4).
    case fetch([RecordKey])
    case digest(DigestRequest)
    case history(HistoryRequest)
    case ping(Int64)
    case pong(Int64)
    /// Ends the session; confirms that the offered nonce is stored (rule T6).
    case bye(nonceStored: Bool)
}

/// What a server sends.
public enum ServerMessage: Hashable, Sendable {
    case challenge(Challenge)
    case enrolled(Enrolled)
    case welcome(Welcome)
    case rekeyed(Rekeyed)
    case refuse(Refusal)
    case acknowledge(Acknowledge)
    case batch(Batch)
    case page(Page)
    case records(Records)
    case digest(DigestReply)
    case history(HistoryReply)
    case ping(Int64)
    case pong(Int64)
    /// The server ends the session in good order: shutdown, changed grants, an idle limit.
    case bye(Refusal)
}
