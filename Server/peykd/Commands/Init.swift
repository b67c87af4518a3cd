import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykFailpoint
import PeykMerge
import PeykModel
import PeykNet
import PeykServer
import PeykStoreSQLite
import PeykTransport

struct Init: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a new workspace: directory, keys, certificate, store.",
        discussion: """
            The workspace begins with the field-sales schema and its default pipeline; --schema takes another one. \
            Keep a copy of the directory's keys: devices trust this server's key and no other.

            Example:  peykd --data /srv/peyk init --workspace acme --public crm.example.com:7420
            """)

    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions

    @Option(help: "The workspace's name; devices show it.")
    var workspace: String

    @Option(help: ArgumentHelp("A schema as JSON, instead of the field-sales schema.", valueName: "file"))
    var schema: String?

    @Option(help: ArgumentHelp("Where devices reach the server; invites name it.", valueName: "host:port"))
    var `public`: String?

    func validate() throws {
        guard !workspace.isEmpty, workspace.utf8.count <= 100,
            workspace.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0 != "/" && $0 != "#" })
        else { throw ValidationError("A workspace's name has 1 to 100 bytes, and no / or #.") }
    }

    func run() throws {
        let installation = try place.installation()
        if let address = self.public { _ = try ListenAddress(address) }
        let schema = try chosenSchema()
        let files = FileManager.default
        guard !files.fileExists(atPath: installation.store), !files.fileExists(atPath: installation.settings) else {
            throw Failure(
                .cannotCreate,
                "There is a workspace in \(installation.directory) already. It was left as it is.")
        }
        try files.createDirectory(
            atPath: installation.directory, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        try files.setAttributes([.posixPermissions: 0o700], ofItemAtPath: installation.directory)
        let environment = ServerEnvironment.live(now: { LocalTime.now() })
        let keys = try WorkspaceKeys.generate(random: environment.random)
        try installation.write(keys)
        Failpoint.hit("init.keys.written")
        let identity = try TLSIdentity.create(directory: installation.directory, workspace: workspace)
        Failpoint.hit("init.certificate.written")
        let store = try SQLiteStore(path: installation.store, create: true)
        let made = try Workspace.create(
            name: workspace, schema: schema ?? FieldSales.schema, store: store, keys: keys, environment: environment)
        if schema == nil { try seed(made) }
        try store.checkpoint()
        Failpoint.hit("init.store.written")
        let settings: JSON = [
            "workspace": .string(workspace), "public": self.public.map { .string($0) } ?? .null,
            "created_at": .integer(LocalTime.now()),
        ]
        try SecretFile.create(installation.settings, Array((settings.pretty + "\n").utf8))
        let version = try made.schema().version
        let console = output.console
        console.print([
            ("workspace", "Workspace", workspace, .string(workspace)),
            ("directory", "Directory", installation.directory, .string(installation.directory)),
            ("fingerprint", "Fingerprint", "\(identity.fingerprint)", .string("\(identity.fingerprint)")),
            ("schema_version", "Schema", "version \(version)", .integer(version)),
        ])
        Terminal.message("Next: peykd user add NAME --role rep --territory T, then peykd serve")
    }

    private func chosenSchema() throws -> Schema? {
        guard let file = schema else { return nil }
        return try SchemaFile.read(file) { json in
            let schema = try Schema(json: json)
            return schema
        }
    }

    /// The default pipeline and its stages, as one act of the server.
    private func seed(_ workspace: Workspace) throws {
        let schema = try workspace.schema()
        let changes = FieldSales.seedRows.compactMap { seed in
            schema.tableIndex(seed.table).flatMap {
                Change.make(table: $0, record: seed.record, before: nil, after: seed.row, in: schema)
            }
        }
        let outcome = try workspace.serverCommit(changes)
        guard outcome.answer.verdict == .merged else {
            throw Failure(.software, "The default pipeline was not taken: \(outcome.answer.notices)")
        }
    }
}

/// A schema's JSON file.
enum SchemaFile {
    static func read<Result>(_ path: String, _ body: (JSON) throws -> Result) throws -> Result {
        let bytes = try InputFile.read(path)
        do {
            return try body(try JSON(parsing: bytes))
        } catch let error as JSON.ParseError {
            throw Failure(.data, "\(path) is \(error). Nothing was changed.")
        } catch let error as SchemaError {
            throw Failure(.data, "\(path) is no schema: \(error). Nothing was changed.")
        }
    }
}

enum InputFile {
    /// The bytes of a file; `-` is standard input.
    static func read(_ path: String) throws -> [UInt8] {
        if path == "-" { return Array(FileHandle.standardInput.readDataToEndOfFile()) }
        guard FileManager.default.fileExists(atPath: path) else {
            throw Failure(.noInput, "There is no file \(path). Nothing was changed.")
        }
        return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    }
}
