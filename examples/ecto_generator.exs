# An MCP server in one Elixir script, without any dependency: it generates Ecto schemas.
#
#     elixir examples/ecto_generator.exs
#
# It speaks JSON-RPC 2.0 over standard input and output, one message per line, and offers one tool,
# `generate_ecto_schema`. In `mcp_servers.json`:
#
#     {"mcpServers": {"elixir_ecto_gen_tool": {
#       "command": ["elixir", "/path/to/ecto_generator.exs"],
#       "env": {"ECTO_GENERATOR_ROOTS": "/home/me/projects"}}}}
#
# It writes into `target_project_path` alone, below `lib/`. Where ECTO_GENERATOR_ROOTS names folders
# (separated by `:`), the project has to lie in one of them. An existing file with other content is
# never overwritten. Works with Elixir 1.12 and later; JSON is read and written by the script itself.

defmodule Json do
  @moduledoc "A small JSON reader and writer. Objects are maps with text keys, null is nil."

  def decode(text) do
    case value(skip(text), 0) do
      {:ok, value, rest} ->
        if skip(rest) == "", do: {:ok, value}, else: {:error, "something follows the value"}

      {:error, reason} ->
        {:error, reason}
    end
  end

  # Deeper input is no message of a client.
  @deepest 200

  defp value(_text, depth) when depth > @deepest, do: {:error, "nested too deeply"}
  defp value("null" <> rest, _), do: {:ok, nil, rest}
  defp value("true" <> rest, _), do: {:ok, true, rest}
  defp value("false" <> rest, _), do: {:ok, false, rest}
  defp value("\"" <> rest, _), do: string(rest, [])
  defp value("[" <> rest, depth), do: list(skip(rest), [], depth + 1)
  defp value("{" <> rest, depth), do: object(skip(rest), %{}, depth + 1)
  defp value(text, _), do: number(text)

  defp list("]" <> rest, [], _), do: {:ok, [], rest}

  defp list(text, items, depth) do
    with {:ok, item, rest} <- value(text, depth) do
      case skip(rest) do
        "," <> rest -> list(skip(rest), [item | items], depth)
        "]" <> rest -> {:ok, Enum.reverse([item | items]), rest}
        _ -> {:error, "a list is not closed"}
      end
    end
  end

  defp object("}" <> rest, map, _) when map == %{}, do: {:ok, %{}, rest}

  defp object("\"" <> text, map, depth) do
    with {:ok, key, rest} <- string(text, []),
         {:colon, ":" <> rest} <- {:colon, skip(rest)},
         {:ok, item, rest} <- value(skip(rest), depth) do
      map = Map.put(map, key, item)

      case skip(rest) do
        "," <> rest -> object(skip(rest), map, depth)
        "}" <> rest -> {:ok, map, rest}
        _ -> {:error, "an object is not closed"}
      end
    else
      {:colon, _} -> {:error, "a key has no value"}
      {:error, reason} -> {:error, reason}
    end
  end

  defp object(_, _, _), do: {:error, "a key is no text"}

  defp string("\"" <> rest, parts), do: {:ok, parts |> Enum.reverse() |> IO.iodata_to_binary(), rest}
  defp string("\\n" <> rest, parts), do: string(rest, ["\n" | parts])
  defp string("\\t" <> rest, parts), do: string(rest, ["\t" | parts])
  defp string("\\r" <> rest, parts), do: string(rest, ["\r" | parts])
  defp string("\\b" <> rest, parts), do: string(rest, ["\b" | parts])
  defp string("\\f" <> rest, parts), do: string(rest, ["\f" | parts])
  defp string("\\/" <> rest, parts), do: string(rest, ["/" | parts])
  defp string("\\\\" <> rest, parts), do: string(rest, ["\\" | parts])
  defp string("\\\"" <> rest, parts), do: string(rest, ["\"" | parts])

  defp string("\\u" <> <<hex::binary-size(4), rest::binary>>, parts) do
    case {Integer.parse(hex, 16), rest} do
      # Letters beyond the first plane come in two halves.
      {{high, ""}, "\\u" <> <<low_hex::binary-size(4), after_low::binary>>}
      when high in 0xD800..0xDBFF ->
        case Integer.parse(low_hex, 16) do
          {low, ""} when low in 0xDC00..0xDFFF ->
            letter = 0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00)
            string(after_low, [<<letter::utf8>> | parts])

          _ ->
            string(rest, ["\uFFFD" | parts])
        end

      {{code, ""}, _} when code in 0xD800..0xDFFF ->
        string(rest, ["\uFFFD" | parts])

      {{code, ""}, _} ->
        string(rest, [<<code::utf8>> | parts])

      _ ->
        {:error, "a \\u has no four digits"}
    end
  end

  defp string("\\" <> _, _), do: {:error, "an unknown escape"}
  defp string(<<code, _::binary>>, _) when code < 0x20, do: {:error, "a text holds a control character"}
  defp string(<<letter::utf8, rest::binary>>, parts), do: string(rest, [<<letter::utf8>> | parts])
  defp string(_, _), do: {:error, "a text is not closed, or no UTF-8"}

  @number ~r/\A-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/

  defp number(text) do
    case Regex.run(@number, text) do
      nil ->
        {:error, "no value"}

      [digits | _] ->
        rest = binary_part(text, byte_size(digits), byte_size(text) - byte_size(digits))

        case {Integer.parse(digits), Float.parse(digits)} do
          {{number, ""}, _} -> {:ok, number, rest}
          {_, {number, ""}} -> {:ok, number, rest}
          _ -> {:error, "a number cannot be read"}
        end
    end
  end

  defp skip(<<space, rest::binary>>) when space in ' \t\n\r', do: skip(rest)
  defp skip(text), do: text

  def encode(nil), do: "null"
  def encode(true), do: "true"
  def encode(false), do: "false"
  def encode(number) when is_number(number), do: to_string(number)
  def encode(atom) when is_atom(atom), do: encode(Atom.to_string(atom))
  def encode(list) when is_list(list), do: ["[", Enum.intersperse(Enum.map(list, &encode/1), ","), "]"]

  def encode(map) when is_map(map) do
    pairs = Enum.map(map, fn {key, value} -> [encode(to_string(key)), ":", encode(value)] end)
    ["{", Enum.intersperse(pairs, ","), "}"]
  end

  def encode(text) when is_binary(text) do
    escaped =
      for <<letter::utf8 <- text>>, into: "" do
        case letter do
          ?" -> "\\\""
          ?\\ -> "\\\\"
          ?\n -> "\\n"
          ?\r -> "\\r"
          ?\t -> "\\t"
          code when code < 0x20 -> "\\u" <> String.pad_leading(Integer.to_string(code, 16), 4, "0")
          letter -> <<letter::utf8>>
        end
      end

    ["\"", escaped, "\""]
  end
end

defmodule EctoSchema do
  @moduledoc "From a definition to the source of a schema, and into the project."

  @types ~w(string text integer float decimal boolean date time time_usec naive_datetime
            naive_datetime_usec utc_datetime utc_datetime_usec binary binary_id uuid id map)
  @schema_types %{"text" => "string", "uuid" => "Ecto.UUID"}
  @reserved ~w(after and catch do else end false fn in nil not or rescue true when)

  def generate(definition, project) do
    with {:ok, root} <- project_root(project),
         {:ok, app} <- app_name(root),
         {:ok, module} <- module_name(definition),
         {:ok, fields} <- fields(definition),
         {:ok, table} <- table_name(definition, module) do
      file = Macro.underscore(module) <> ".ex"
      relative = Path.join(["lib", app, "schemas", file])
      source = source(Macro.camelize(app), module, table, fields)
      write(root, relative, source, table)
    end
  end

  defp project_root(path) when is_binary(path) do
    expanded = Path.expand(path)
    roots = "ECTO_GENERATOR_ROOTS" |> System.get_env("") |> String.split(":", trim: true)
    inside = fn root -> expanded == root or String.starts_with?(expanded, root <> "/") end

    cond do
      Path.type(path) != :absolute ->
        {:error, "`target_project_path` is `#{path}`; write an absolute path"}

      not File.dir?(expanded) ->
        {:error, "`target_project_path` names `#{path}`, which is no folder"}

      roots != [] and not Enum.any?(Enum.map(roots, &Path.expand/1), inside) ->
        {:error, "`#{path}` lies outside the folders of ECTO_GENERATOR_ROOTS"}

      true ->
        {:ok, expanded}
    end
  end

  defp project_root(_), do: {:error, "`target_project_path` is missing; write the absolute path of the project"}

  # The project says its name itself; without a mix.exs the folder's name stands for it.
  defp app_name(root) do
    from_mix =
      case File.read(Path.join(root, "mix.exs")) do
        {:ok, text} -> Regex.run(~r/app:\s*:([a-z][a-z0-9_]*)/, text, capture: :all_but_first)
        _ -> nil
      end

    name = if from_mix, do: hd(from_mix), else: root |> Path.basename() |> Macro.underscore()

    if name =~ ~r/\A[a-z][a-z0-9_]*\z/,
      do: {:ok, name},
      else: {:error, "`#{name}` cannot be the name of an application; write a mix.exs"}
  end

  defp module_name(%{"module_name" => name}) when is_binary(name) do
    last = name |> String.split(".") |> List.last()

    if last =~ ~r/\A[A-Z][A-Za-z0-9]*\z/,
      do: {:ok, last},
      else: {:error, "`module_name` is `#{name}`; write it in CamelCase, such as `User`"}
  end

  defp module_name(_), do: {:error, "`schema_definition.module_name` is missing"}

  defp table_name(%{"table_name" => name}, _) when is_binary(name) do
    if name =~ ~r/\A[a-z][a-z0-9_]*\z/,
      do: {:ok, name},
      else: {:error, "`table_name` is `#{name}`; write it in snake_case"}
  end

  defp table_name(_, module), do: {:ok, module |> Macro.underscore() |> plural()}

  defp plural(word) do
    cond do
      word =~ ~r/[^aeiou]y\z/ -> String.replace(word, ~r/y\z/, "ies")
      word =~ ~r/(s|x|z|ch|sh)\z/ -> word <> "es"
      true -> word <> "s"
    end
  end

  defp fields(%{"fields" => [_ | _] = fields}) do
    read = Enum.map(fields, &field/1)
    names = for {:ok, {name, _}} <- read, do: name

    cond do
      problem = Enum.find(read, &match?({:error, _}, &1)) -> problem
      double = List.first(names -- Enum.uniq(names)) -> {:error, "the field `#{double}` stands twice"}
      true -> {:ok, Enum.map(read, &elem(&1, 1))}
    end
  end

  defp fields(_), do: {:error, "`schema_definition.fields` is a list of at least one field"}

  defp field(%{"name" => name, "type" => type}) when is_binary(name) and is_binary(type) do
    type = type |> String.trim() |> String.trim_leading(":") |> String.downcase()

    cond do
      not (name =~ ~r/\A[a-z][a-z0-9_]*\z/) or name in @reserved ->
        {:error, "the field name `#{name}` cannot be used; write it in snake_case"}

      name in ~w(id inserted_at updated_at) ->
        {:error, "the field `#{name}` is there by itself; leave it out"}

      type not in @types ->
        {:error, "the field `#{name}` has the type `#{type}`; there are #{Enum.join(@types, ", ")}"}

      true ->
        {:ok, {name, type}}
    end
  end

  defp field(other), do: {:error, "a field is an object with `name` and `type`, not #{Json.encode(other)}"}

  defp source(app, module, table, fields) do
    lines = Enum.map_join(fields, "\n", fn {name, type} -> "    field :#{name}, #{type(type)}" end)
    names = Enum.map_join(fields, ", ", fn {name, _} -> ":#{name}" end)
    variable = Macro.underscore(module)

    """
    defmodule #{app}.Schemas.#{module} do
      @moduledoc false
      use Ecto.Schema
      import Ecto.Changeset

      @fields [#{names}]

      schema "#{table}" do
    #{lines}

        timestamps()
      end

      @doc false
      def changeset(#{variable}, attrs) do
        #{variable}
        |> cast(attrs, @fields)
        |> validate_required(@fields)
      end
    end
    """
  end

  defp type(type) do
    case Map.get(@schema_types, type, type) do
      "Ecto.UUID" -> "Ecto.UUID"
      type -> ":" <> type
    end
  end

  defp write(root, relative, source, table) do
    path = Path.join(root, relative)

    # What lies behind a link would be written somewhere else.
    case {leaves?(root, relative), File.read(path)} do
      {true, _} ->
        {:error, "`#{relative}` leads out of the project by a link"}

      {false, {:ok, ^source}} ->
        {:ok, %{status: "success", file_path: path, action: "unchanged", table: table}}

      {false, {:ok, _}} ->
        {:error, "`#{path}` is there already with other content; nothing was written"}

      {false, {:error, :enoent}} ->
        with :ok <- File.mkdir_p(Path.dirname(path)), :ok <- File.write(path, source) do
          {:ok, %{status: "success", file_path: path, action: "created", table: table}}
        else
          {:error, reason} -> {:error, "`#{path}` cannot be written: #{:file.format_error(reason)}"}
        end

      {false, {:error, reason}} ->
        {:error, "`#{path}` cannot be read: #{:file.format_error(reason)}"}
    end
  end

  defp leaves?(root, relative) do
    relative
    |> Path.split()
    |> Enum.scan(&Path.join(&2, &1))
    |> Enum.any?(fn part -> match?({:ok, _}, :file.read_link(Path.join(root, part))) end)
  end
end

defmodule Server do
  @moduledoc "JSON-RPC over standard input and output."

  @versions ~w(2025-11-25 2025-06-18 2025-03-26 2024-11-05)

  @tool %{
    name: "generate_ecto_schema",
    title: "Generate an Ecto schema",
    description:
      "Writes an Ecto schema module with its changeset into lib/<app>/schemas/ of a project. " <>
        "An existing file with other content is never overwritten.",
    inputSchema: %{
      type: "object",
      properties: %{
        schema_definition: %{
          type: "object",
          description: "The schema",
          properties: %{
            module_name: %{type: "string", description: "CamelCase, singular: User"},
            table_name: %{type: "string", description: "Table, without it the plural of the name"},
            fields: %{
              type: "array",
              items: %{
                type: "object",
                properties: %{
                  name: %{type: "string", description: "snake_case"},
                  type: %{type: "string", description: "string, text, integer, float, decimal, boolean, date, time, utc_datetime, uuid, map"}
                },
                required: ["name", "type"]
              }
            }
          },
          required: ["module_name", "fields"]
        },
        target_project_path: %{type: "string", description: "Absolute path of the project"}
      },
      required: ["schema_definition", "target_project_path"]
    },
    annotations: %{readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false}
  }

  def run do
    # Messages are UTF-8 whatever the locale says; latin1 passes bytes through as they are.
    :io.setopts(:standard_io, encoding: :latin1, binary: true)
    loop()
  end

  defp loop do
    case IO.binread(:stdio, :line) do
      line when is_binary(line) ->
        if String.trim(line) != "", do: answer(line)
        loop()

      _ ->
        :ok
    end
  end

  defp answer(line) do
    case Json.decode(line) do
      {:ok, %{"method" => method, "id" => id} = message} when id != nil ->
        send_message(Map.merge(%{jsonrpc: "2.0", id: id}, safely(method, params(message))))

      # A notification, or an answer to a question that was never asked.
      {:ok, message} when is_map(message) ->
        :ok

      {:ok, _} ->
        send_message(%{jsonrpc: "2.0", id: nil, error: %{code: -32600, message: "no request"}})

      {:error, reason} ->
        send_message(%{jsonrpc: "2.0", id: nil, error: %{code: -32700, message: "no JSON: " <> reason}})
    end
  end

  defp params(%{"params" => params}) when is_map(params), do: params
  defp params(_), do: %{}

  defp safely(method, params) do
    request(method, params)
  rescue
    error ->
      IO.puts(:stderr, "ecto_generator: " <> Exception.message(error))
      %{error: %{code: -32603, message: "the call failed; the server's log says why"}}
  end

  defp request("initialize", params) do
    asked = Map.get(params, "protocolVersion")
    version = if asked in @versions, do: asked, else: hd(@versions)

    %{
      result: %{
        protocolVersion: version,
        capabilities: %{tools: %{}},
        serverInfo: %{name: "ecto_generator", version: "1.0.0"}
      }
    }
  end

  defp request("ping", _), do: %{result: %{}}
  defp request("tools/list", _), do: %{result: %{tools: [@tool]}}

  defp request("tools/call", %{"name" => "generate_ecto_schema"} = params) do
    arguments = Map.get(params, "arguments") || %{}

    case EctoSchema.generate(definition(arguments), Map.get(arguments, "target_project_path")) do
      {:ok, result} -> %{result: %{content: [text(Json.encode(result))], structuredContent: result, isError: false}}
      {:error, reason} -> %{result: %{content: [text(Json.encode(%{status: "error", message: reason}))], isError: true}}
    end
  end

  defp request("tools/call", params) do
    %{error: %{code: -32602, message: "there is no tool #{inspect(Map.get(params, "name"))}; there is generate_ecto_schema"}}
  end

  defp request(method, _), do: %{error: %{code: -32601, message: "there is no method #{method}"}}

  # Some models send the definition as JSON text, or under its older name.
  defp definition(arguments) do
    case arguments["schema_definition"] || arguments["structured_schema_json"] do
      text when is_binary(text) ->
        case Json.decode(text) do
          {:ok, value} -> value
          {:error, _} -> nil
        end

      value ->
        value
    end
  end

  defp text(text), do: %{type: "text", text: IO.iodata_to_binary(text)}

  defp send_message(message), do: IO.binwrite(:stdio, [Json.encode(message), "\n"])
end

Server.run()
