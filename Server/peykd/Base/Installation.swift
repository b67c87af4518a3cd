import Foundation
import PeykConsole
import PeykModel
import PeykNet
import PeykSQLite
import PeykServer
import PeykStoreSQLite
import PeykTransport

/// A workspace's directory: mode 0700, and all that belongs to the workspace in it.
struct Installation: Sendable {
    let directory: String

    var store: String { directory + "/workspace.sqlite" }
    var keys: String { directory + "/workspace.keys" }
    /// Written last by `init`: where it is missing there is no whole workspace.
    var settings: String { directory + "/peykd.json" }
    /// Where the server last listened.
    var serving: String { directory + "/serving.json" }
    /// What was done by IT, beside the store (rule I9).
    var journal: String { directory + "/admin.journal" }
    /// Held by the one process that may write.
    var lock: String { directory + "/server.lock" }

    /// The control socket; elsewhere when the directory's path is longer than sockets allow (108 bytes).
    var control: String {
        let path = directory + "/control.sock"
        if path.utf8.count <= 95 { return path }
        var digest = Digest64()
        digest.update(path.utf8)
        return NSTemporaryDirectory() + "peykd-\(getuid())-\(String(digest.value, radix: 16)).sock"
    }

    init(directory: String) {
        let url = URL(fileURLWithPath: (directory as NSString).expandingTildeInPath)
        self.directory = url.standardizedFileURL.path
    }

    func requireWorkspace() throws {
        let hasStore = FileManager.default.fileExists(atPath: store)
        if FileManager.default.fileExists(atPath: settings) {
            guard !hasStore else { return }
            throw Failure(
                .configuration,
                "\(directory) has keys and settings, but no store: “peykd restore” was interrupted, or workspace.sqlite was "
                    + "taken away. Nothing was changed; restore a backup: peykd restore FILE.")
        }
        if hasStore {
            throw Failure(
                .configuration,
                "\(directory) has only half a workspace: “peykd init” was interrupted. Remove the directory and run it "
                    + "again.")
        }
        throw Failure(
            .noInput, "There is no workspace in \(directory). Give its directory with --data, or make one: peykd init")
    }

    func readKeys() throws -> WorkspaceKeys {
        let json = try? JSON(parsing: try SecretFile.read(keys))
        guard case .blob(let signing)? = json?["signing"]?.value, case .blob(let mac)? = json?["mac"]?.value else {
            throw Failure(
                .configuration,
                "The key file \(keys) is missing, damaged, or readable by others. Nothing was changed; restore it from the "
                    + "backup, with mode 0600.")
        }
        return try WorkspaceKeys(signing: signing, mac: mac)
    }

    func write(_ keys: WorkspaceKeys) throws {
        let json: JSON = ["signing": JSON(.blob(keys.signing)), "mac": JSON(.blob(keys.mac))]
        try SecretFile.create(self.keys, Array(json.text.utf8))
    }

    func document(_ path: String) -> JSON? {
        FileManager.default.contents(atPath: path).flatMap { try? JSON(parsing: Array($0)) }
    }

    func openWorkspace(warn: @escaping @Sendable (String) -> Void = { _ in }) throws -> Workspace {
        try requireWorkspace()
        let workspace = try Workspace(
            store: try SQLiteStore(path: store), keys: try readKeys(),
            environment: .live(now: { LocalTime.now() }, warn: warn), journal: JournalFile(path: journal))
        // A crash between the journal and the store, or a store that was put back.
        try workspace.replayJournal()
        return workspace
    }

    /// Where devices reach the server, and whether it speaks TLS there.
    func publicAddress(_ chosen: String?) throws -> (address: ListenAddress, isPlaintext: Bool) {
        let served = document(serving)
        let isPlaintext = served?["plaintext"]?.boolValue ?? false
        let text =
            chosen ?? document(settings)?["public"]?.stringValue ?? served?["public"]?.stringValue
            ?? served?["address"]?.stringValue
        guard let text else {
            throw Failure(
                .configuration,
                "The address of the server is not known yet. Start it with “peykd serve”, or give --public HOST:PORT.")
        }
        var address = try ListenAddress(text)
        if address.isWildcard { address.host = ProcessInfo.processInfo.hostName }
        return (address, isPlaintext)
    }
}

/// `HOST:PORT`, with IPv6 addresses in brackets.
struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    var host: String
    var port: Int

    init(_ text: String) throws {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65_535).contains(port)
        else { throw Failure(.usage, "“\(text)” is no address; it looks like HOST:PORT, such as 0.0.0.0:7420.") }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { throw Failure(.usage, "“\(text)” names no host.") }
        self.host = String(host)
        self.port = port
    }

    var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }
    var isWildcard: Bool { host == "0.0.0.0" || host == "::" }
    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
