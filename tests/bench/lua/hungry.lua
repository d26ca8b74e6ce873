-- Until it is stopped: memory, which takes longer than instructions.
local piece = ("x"):rep(1000)
function transform(event)
  local all = {}
  while true do
    all[#all + 1] = piece .. #all
  end
end
